//! `imcast serve` where it does not start.

use super::{end, start};

#[tokio::test]
async fn an_address_that_other_machines_reach_is_refused_with_the_ways_out() {
    let environment = [("IMCAST__STORE__URL", "memory:")];
    let ended = end(start(&["serve", "--listen", "0.0.0.0:0"], &environment)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    let beginning = "imcast: the gateway does not start: refusing to listen on 0.0.0.0:0: other machines";
    let message = ended.errors.lines().last().unwrap();
    assert!(message.starts_with(beginning), "{}", ended.errors);
}
