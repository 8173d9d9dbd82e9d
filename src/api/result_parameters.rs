//! The query of `GET /v1/batches/{id}/results`.

use http::Uri;

use crate::api::page_token;
use crate::api::query;
use crate::api::report::walk::StatusFilter;
use crate::domain::fault::{Fault, FaultCode};

/// Results of a page when the caller does not say.
const DEFAULT_PAGE_SIZE: usize = 100;

/// Most results of a page; a caller that asks for more gets this many, as AIP-158 says.
const MOST_PAGE_SIZE: usize = 1000;

/// What a caller wants of a list of results.
#[derive(Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Which results are wanted.
    pub filter: StatusFilter,
    /// Most results of the page.
    pub page_size: usize,
    /// Index of the first result that may stand on it.
    pub start: usize,
}

impl Parameters {
    /// Reads the query.
    ///
    /// # Errors
    /// Every fault; pointers name the parameter.
    pub fn read(uri: &Uri) -> Result<Self, Vec<Fault>> {
        let mut found = Self { filter: StatusFilter::ALL, page_size: DEFAULT_PAGE_SIZE, start: 0 };
        let mut token = String::new();
        let mut faults = query::read(uri, &["status", "page_size", "page_token"], |name, value| {
            match name {
                "status" => {
                    found.filter =
                        StatusFilter::parse(value).map_err(|word| format!("`{word}` is no status"))?;
                }
                "page_size" => found.page_size = query::page_size(value, DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE)?,
                _ => value.clone_into(&mut token),
            }
            Ok(())
        });
        // Only now is it known which filter the token must be of.
        if !token.is_empty() {
            match page_token::read(&token, found.filter.bits()) {
                Some(start) => found.start = start,
                None => faults.push(Fault::new(
                    "/page_token",
                    FaultCode::OutOfRange,
                    "is not a token of this list and this `status`",
                )),
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = (u8, usize, usize);

    fn check(query: &str, expected: Result<Found, &[(&str, FaultCode)]>) {
        let uri: Uri = format!("/v1/batches/x/results{query}").parse().unwrap();
        let read = Parameters::read(&uri)
            .map(|found| (found.filter.bits(), found.page_size, found.start))
            .map_err(|faults| faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect());
        let expected = expected
            .map_err(|faults| faults.iter().map(|(at, code)| ((*at).to_owned(), *code)).collect::<Vec<_>>());
        assert_eq!(read, expected, "{query}");
    }

    #[test]
    fn reads_parameters_and_names_what_is_wrong() {
        check("", Ok((15, 100, 0)));
        check("?status=failed,unknown&page_size=5", Ok((6, 5, 0)));
        check("?status=failed%2Cunknown&page_size=5000", Ok((6, 1000, 0)));
        check("?page_size=0&page_token=&status=", Ok((15, 100, 0)));
        let token = page_token::write(7, 2);
        check(&format!("?status=failed&page_token={token}"), Ok((2, 100, 7)));
        check(&format!("?page_token={token}"), Err(&[("/page_token", FaultCode::OutOfRange)]));
        check(
            "?status=lost&page_size=-1&size=3&status=failed",
            Err(&[
                ("/status", FaultCode::OutOfRange),
                ("/page_size", FaultCode::OutOfRange),
                ("/size", FaultCode::UnknownField),
                ("/status", FaultCode::Conflict),
            ]),
        );
    }
}
