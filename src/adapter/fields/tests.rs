//! Every fault at once, each at its place.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;

thread_local! {
    /// What this thread's readers asked for since the last [`asked`]: pointer of the object, and name.
    static ASKED: RefCell<BTreeSet<(String, String)>> = const { RefCell::new(BTreeSet::new()) };
}

/// Remembers that a field was asked for.
pub(super) fn note(pointer: &str, name: &str) {
    ASKED.with_borrow_mut(|asked| asked.insert((pointer.to_owned(), name.to_owned())));
}

/// Names that `read` asks the object at `pointer` for: what may stand there, whether it does or not.
pub(crate) fn asked(pointer: &str, read: impl FnOnce()) -> BTreeSet<String> {
    ASKED.take();
    read();
    ASKED.take().into_iter().filter(|(at, _)| at == pointer).map(|(_, name)| name).collect()
}

fn faults(json: &str, numbers: Numbers, read: impl FnOnce(&mut Fields<'_>)) -> Vec<(String, FaultCode)> {
    let mut fields = Fields::parse(json, "/o", numbers).unwrap();
    read(&mut fields);
    fields.finish().into_iter().map(|fault| (fault.pointer, fault.code)).collect()
}

#[test]
fn an_array_of_objects_keeps_the_sound_ones_in_their_places() {
    let json = r#"{"a":[{"n":1},{"n":"x"},7,{"n":4,"m":0}],"b":{},"c":[]}"#;
    let found = faults(json, Numbers::Strict, |fields| {
        let read = |inner: &mut Fields<'_>| inner.u64("n", 0..=9);
        assert_eq!(fields.objects("a", read), Some(vec![Some(1), None, None, None]));
        assert_eq!(fields.objects("b", read), None);
        assert_eq!(fields.objects("c", read), Some(Vec::new()));
        assert_eq!(fields.objects("d", read), None);
    });
    let expected = [
        ("/o/a/1/n", FaultCode::WrongType),
        ("/o/a/2", FaultCode::WrongType),
        ("/o/a/3/m", FaultCode::UnknownField),
        ("/o/b", FaultCode::WrongType),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
}

#[test]
fn lists_every_fault_with_its_pointer() {
    let json = r#"{"a":1,"b":"x","c":null,"d":-1,"e":[1,true],"f":{"g":1},"a":2,"h/i":0,"j":1.5,"k":"y"}"#;
    let found = faults(json, Numbers::Strict, |fields| {
        assert_eq!(fields.text("a"), None);
        assert_eq!(fields.bool("b"), None);
        assert_eq!(fields.text("c"), None);
        assert_eq!(fields.u64("d", 0..=5), None);
        assert_eq!(fields.ids("e"), None);
        assert_eq!(fields.object("f", |_| Some(())), None);
        assert_eq!(fields.u64("j", 0..=5), None);
        assert_eq!(fields.choice("k", &[("x", 1)]), None);
        assert_eq!(fields.required_text("m"), None);
    });
    let expected = [
        ("/o/a", FaultCode::Conflict),
        ("/o/a", FaultCode::WrongType),
        ("/o/b", FaultCode::WrongType),
        ("/o/c", FaultCode::WrongType),
        ("/o/d", FaultCode::OutOfRange),
        ("/o/e/1", FaultCode::WrongType),
        ("/o/f/g", FaultCode::UnknownField),
        ("/o/j", FaultCode::OutOfRange),
        ("/o/k", FaultCode::OutOfRange),
        ("/o/m", FaultCode::Required),
        ("/o/h~1i", FaultCode::UnknownField),
    ];
    assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code)));
}

#[test]
fn refuses_objects_with_very_many_fields() {
    let members: Vec<_> = (0..1001).map(|number| format!("\"{number}\":0")).collect();
    let found = faults(&format!("{{{}}}", members.join(",")), Numbers::Strict, |_| {});
    assert_eq!(found.len(), 1001);
    assert_eq!(found[0], ("/o".to_owned(), FaultCode::TooLarge));
}

#[test]
fn settings_may_give_numbers_as_text_and_requests_may_not() {
    let json = r#"{"n":"7","b":"true","t":12}"#;
    let read = |fields: &mut Fields<'_>| (fields.u64("n", 0..=9), fields.bool("b"), fields.text("t"));
    let mut settings = Fields::parse(json, "", Numbers::OrText).unwrap();
    assert_eq!(read(&mut settings), (Some(7), Some(true), Some("12".into())));
    let mut request = Fields::parse(json, "", Numbers::Strict).unwrap();
    assert_eq!(read(&mut request), (None, None, None));
}

#[test]
fn ids_keep_every_digit() {
    for (token, expected) in [
        ("9223372036854775808", Some("9223372036854775808")),
        ("-5", Some("-5")),
        ("\"a\\u0062\"", Some("ab")),
        ("1.0", None),
        ("1e3", None),
        ("true", None),
    ] {
        assert_eq!(read_id(token).as_deref(), expected, "{token}");
    }
}
