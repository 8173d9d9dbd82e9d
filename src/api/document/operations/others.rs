//! Channels and what operators ask for.

use utoipa::openapi::path::HttpMethod;

use crate::api::document::example::only;
use crate::api::document::operations::parameters::path_parameter;
use crate::api::document::operations::{
    Described, answer, content, guarded, operation, text_content, unguarded,
};
use crate::api::document::schema::{any_object, named};
use crate::api::problem::ProblemCode;

/// Every operation of this file.
pub(in crate::api) fn all() -> Vec<Described> {
    vec![channels(), channel(), live(), ready(), metrics(), document()]
}

fn channels() -> Described {
    let start = operation(
        "listChannels",
        "channels",
        "List channels",
        "Capabilities, limits, budgets and what is left of them, circuit and token of every channel that the \
         key may use; operators see all.",
    );
    let all = content(named("ChannelList"), only("One channel", include_str!("../examples/channels.json")));
    let operation = start.response("200", answer("The channels.").content("application/json", all));
    guarded(HttpMethod::Get, "/v1/channels", operation, &[])
}

fn channel() -> Described {
    let start = operation("readChannel", "channels", "Read a channel", "One channel, as in the list.");
    let one = content(named("Channel"), only("A channel", include_str!("../examples/channel.json")));
    let operation = start
        .parameter(path_parameter("name", "The channel.", named("ChannelName"), "sandbox-tim"))
        .response("200", answer("The channel.").content("application/json", one));
    let codes = [ProblemCode::Forbidden, ProblemCode::NotFound];
    guarded(HttpMethod::Get, "/v1/channels/{name}", operation, &codes)
}

fn live() -> Described {
    let about = "Answers as long as the process can answer at all.";
    let operation = operation("readLiveness", "operations", "Is it alive?", about)
        .response("200", answer("It is.").content("text/plain", text_content("A word.", "live\n")));
    unguarded("/livez", operation, &[])
}

fn ready() -> Described {
    let about = "Answers 503 from the moment on that the process was told to end, and while what is durable \
                 cannot be written.";
    let kept = "A word, and whether batches are `durable` or `in memory only`.";
    let ready_text =
        text_content(kept, "ready\nbatches: durable\nbudgets: this process's own (store.replicas)\n");
    let operation = operation("readReadiness", "operations", "Should new work come here?", about)
        .response("200", answer("It should.").content("text/plain", ready_text));
    unguarded("/readyz", operation, &[ProblemCode::Draining, ProblemCode::StoreUnavailable])
}

fn metrics() -> Described {
    let about = "OpenMetrics text, for operators; on a listener of its own if `server.admin_listen` is set.";
    let sample = "imcast_batches_total{outcome=\"all_accepted\"} 1\n# EOF\n";
    let text = text_content("Every series.", sample);
    let operation = operation("readMetrics", "operations", "Metrics", about)
        .response("200", answer("The series.").content("application/openmetrics-text", text));
    guarded(HttpMethod::Get, "/metrics", operation, &[ProblemCode::Forbidden])
}

fn document() -> Described {
    let about = "This document. `/docs` shows it as a page.";
    let json = content(any_object("An OpenAPI 3.1 document.").into(), Vec::new());
    let operation = operation("readDocument", "operations", "This document", about)
        .response("200", answer("The document.").content("application/json", json));
    unguarded("/openapi.json", operation, &[])
}
