//! The query of a request, read one parameter at a time, every fault named.

use axum::extract::Query;
use http::Uri;

use crate::domain::fault::{Fault, FaultCode, pointer_token};

/// Hands each parameter that has a value to `take` and returns what is wrong; `take` says why it refuses one.
///
/// A parameter without a value is as good as none. Pointers name the parameter.
pub fn read(uri: &Uri, known: &[&str], mut take: impl FnMut(&str, &str) -> Result<(), String>) -> Vec<Fault> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return vec![Fault::new("", FaultCode::WrongType, "the query cannot be read")];
    };
    let mut faults = Vec::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        let pointer = format!("/{}", pointer_token(name));
        if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
            faults.push(Fault::new(pointer, FaultCode::Conflict, "is given twice"));
        } else if !known.contains(&name.as_str()) {
            let detail = format!("`{name}` is not a known parameter here");
            faults.push(Fault::new(pointer, FaultCode::UnknownField, detail));
        } else if !value.is_empty()
            && let Err(detail) = take(name, value)
        {
            faults.push(Fault::new(pointer, FaultCode::OutOfRange, detail));
        }
    }
    faults
}

/// The size of a page that a caller asks for: at most `most`, as AIP-158 says; 0 is as good as none.
///
/// # Errors
/// What is wrong with it.
pub fn page_size(value: &str, default: usize, most: usize) -> Result<usize, String> {
    match value.parse() {
        Ok(0) => Ok(default),
        Ok(size) => Ok(most.min(size)),
        Err(_) => Err("must be a whole number from 0".to_owned()),
    }
}
