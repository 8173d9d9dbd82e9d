//! What is fuzzed: each target takes any bytes and panics where a promise does not hold.
//!
//! The fuzzer (`fuzz/src/main.rs`) feeds it inputs of its own making; the main suite (`tests/it/replay.rs`)
//! shares this folder and feeds it the seeds and every input that once found a bug.

mod configuration;
mod decoder;
pub(crate) mod gateway;
mod header_fields;
mod providers;
mod report;
mod request_body;
pub(crate) mod seeds;

/// One thing that takes bytes from outside.
pub(crate) struct Target {
    /// Its name, also that of its folder in `fuzz/regressions`.
    pub(crate) name: &'static str,
    /// Takes one input; `true` if it got all the way, so that a target that has gone blind is noticed.
    pub(crate) run: fn(&[u8]) -> bool,
    /// Inputs to start from, made from the fixtures and the reference configuration.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "request_body", run: request_body::run, seeds: request_body::seeds },
    Target { name: "header_fields", run: header_fields::run, seeds: header_fields::seeds },
    Target { name: "configuration", run: configuration::run, seeds: configuration::seeds },
    Target {
        name: "easemob_chatroom",
        run: |input| providers::EASEMOB_CHATROOM.run(input),
        seeds: || providers::EASEMOB_CHATROOM.seeds(),
    },
    Target {
        name: "easemob_relay",
        run: |input| providers::EASEMOB_RELAY.run(input),
        seeds: || providers::EASEMOB_RELAY.seeds(),
    },
    Target { name: "openim", run: |input| providers::OPENIM.run(input), seeds: || providers::OPENIM.seeds() },
    Target {
        name: "tencent_tim",
        run: |input| providers::TENCENT_TIM.run(input),
        seeds: || providers::TENCENT_TIM.seeds(),
    },
    Target {
        name: "volcengine_rtc",
        run: |input| providers::VOLCENGINE_RTC.run(input),
        seeds: || providers::VOLCENGINE_RTC.seeds(),
    },
];

/// The target of this name.
pub(crate) fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
