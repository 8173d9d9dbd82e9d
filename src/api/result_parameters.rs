//! The query of `GET /v1/batches/{id}/results`.

use axum::extract::Query;
use http::Uri;

use crate::api::page_token;
use crate::api::report::walk::StatusFilter;
use crate::domain::fault::{Fault, FaultCode, pointer_token};

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
        let unreadable = || vec![Fault::new("", FaultCode::WrongType, "the query cannot be read")];
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| unreadable())?;
        let mut faults = Vec::new();
        let mut fault = |name: &str, code, detail: String| {
            let pointer = format!("/{}", pointer_token(name));
            faults.push(Fault::new(pointer, code, detail));
        };
        let mut found = Self { filter: StatusFilter::ALL, page_size: DEFAULT_PAGE_SIZE, start: 0 };
        let mut token = String::new();
        for (index, (name, value)) in pairs.iter().enumerate() {
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                fault(name, FaultCode::Conflict, "is given twice".to_owned());
                continue;
            }
            match (name.as_str(), value.as_str()) {
                ("status" | "page_size" | "page_token", "") => {}
                ("status", _) => match StatusFilter::parse(value) {
                    Ok(filter) => found.filter = filter,
                    Err(word) => fault(name, FaultCode::OutOfRange, format!("`{word}` is no status")),
                },
                ("page_size", _) => match value.parse::<usize>() {
                    Ok(0) => {}
                    Ok(size) => found.page_size = size.min(MOST_PAGE_SIZE),
                    Err(_) => fault(name, FaultCode::OutOfRange, "must be a whole number from 0".to_owned()),
                },
                ("page_token", _) => token.clone_from(value),
                _ => fault(name, FaultCode::UnknownField, format!("`{name}` is not a known parameter here")),
            }
        }
        if !token.is_empty() {
            match page_token::read(&token, found.filter.bits()) {
                Some(start) => found.start = start,
                None => {
                    let detail = "is not a token of this list and this `status`".to_owned();
                    fault("page_token", FaultCode::OutOfRange, detail);
                }
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
