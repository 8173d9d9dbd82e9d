//! The model provider of one channel: decides each call's fate, writes it down, then answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use imcast::adapter::wire::{WireRequest, WireResponse};
use imcast::transport::{HttpService, TransportError};

use crate::adapter::TIMEOUT;
use crate::dice::Dice;
use crate::ledger::{Granted, Ledger, Marker, Out, Sent};
use crate::scenario::{Break, ChannelSpec, Fate, FaultKind, Refusal};

/// One provider.
pub(crate) struct Provider {
    channel: usize,
    seed: u64,
    spec: ChannelSpec,
    ledger: Arc<Ledger>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    call_count: usize,
    /// How often each call came, by its route and first recipient.
    tries: BTreeMap<(Marker, String), u32>,
    tokens_granted: u64,
    /// Tokens with lower numbers are refused.
    first_good_token: u64,
}

type Exchanged = Result<WireResponse, TransportError>;

impl Provider {
    pub(crate) fn service(channel: usize, seed: u64, spec: ChannelSpec, ledger: Arc<Ledger>) -> HttpService {
        let provider = Arc::new(Self { channel, seed, spec, ledger, memory: Mutex::default() });
        HttpService::new(tower::service_fn(move |request: WireRequest| {
            let provider = Arc::clone(&provider);
            async move {
                if request.path == "/token" { provider.grant().await } else { provider.take(&request).await }
            }
        }))
    }

    async fn take(&self, request: &WireRequest) -> Exchanged {
        let body = std::str::from_utf8(&request.body).unwrap();
        let (marker, ids) = body.split_once('|').unwrap();
        let (batch, route) = marker.split_once('.').unwrap();
        let marker = Marker { batch: batch.parse().unwrap(), route: route.parse().unwrap() };
        let ids: Vec<String> = ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let token = request.headers.get("token").map(|value| value.to_str().unwrap().parse().unwrap());
        let (answer, latency, out) = self.decide(marker, ids, token);
        tokio::time::sleep(latency).await;
        drop(out);
        answer
    }

    /// Everything about a call, at the moment in which it comes.
    fn decide(&self, marker: Marker, ids: Vec<String>, token: Option<u64>) -> (Exchanged, Duration, Out) {
        let dice = self.dice(marker, &ids);
        let fate = self.fate(&dice, token);
        let latency = dice.milliseconds(self.spec.latency_ms.clone());
        let is_everyone = ids.is_empty();
        let audience = if is_everyone { members(marker) } else { ids.clone() };
        let mut sent = Sent {
            at: self.ledger.now(),
            channel: self.channel,
            marker,
            ids,
            fate,
            accepted: Vec::new(),
            forgotten: Vec::new(),
            ended: None,
        };
        let (answer, latency) = match fate {
            Fate::NoConnection => (Err(no_connection()), latency),
            Fate::Refused(refusal) => (Ok(refuse(refusal, &dice)), latency),
            Fate::Broken { how, is_accepted } => {
                if is_accepted {
                    sent.accepted.clone_from(&audience);
                }
                (broken(how), if how == Break::Timeout { TIMEOUT } else { latency })
            }
            Fate::Served { is_forgetful, is_chatty } => {
                let mut text = String::from(if is_everyone { "listed\n" } else { "served\n" });
                for id in audience {
                    let own = Dice::about(self.seed, &format!("{marker:?} {id}"));
                    let is_accepted = !own.percent(self.spec.refused_percent);
                    if is_accepted {
                        sent.accepted.push(id.clone());
                    }
                    if is_forgetful && !is_everyone && own.percent(40) {
                        sent.forgotten.push(id);
                    } else {
                        text += &format!("{id} {}\n", if is_accepted { "ok" } else { "no" });
                    }
                }
                if is_chatty && !is_everyone {
                    text += "stranger ok\n";
                }
                (Ok(WireResponse::json(StatusCode::OK, text)), latency)
            }
        };
        (answer, latency, self.ledger.arrived(sent))
    }

    /// The dice of this try of this call, whatever else is going on.
    fn dice(&self, marker: Marker, ids: &[String]) -> Dice {
        let first = ids.first().cloned().unwrap_or_default();
        let thing = format!("{} {marker:?} {first}", self.channel);
        let mut memory = self.memory.lock().unwrap();
        let tries = memory.tries.entry((marker, first)).or_default();
        *tries += 1;
        Dice::about(self.seed, &format!("{thing} {tries}"))
    }

    fn fate(&self, dice: &Dice, token: Option<u64>) -> Fate {
        let now = self.ledger.now();
        let mut memory = self.memory.lock().unwrap();
        memory.call_count += 1;
        if let Some(fate) = self.spec.planted.get(&(memory.call_count - 1)) {
            return *fate;
        }
        if let Some(outage) = self.spec.outages.iter().find(|outage| (outage.from..outage.to).contains(&now))
        {
            return outage.fate;
        }
        if token.is_some_and(|token| token < memory.first_good_token) {
            return Fate::Refused(Refusal::OldToken);
        }
        let served = Fate::Served { is_forgetful: false, is_chatty: false };
        if !dice.percent(self.spec.fault_percent) {
            return served;
        }
        let retry_after = dice.pick(&[None, Some(0), Some(1), Some(7), Some(40)]);
        match dice.pick(&self.spec.faults) {
            FaultKind::NoConnection => Fate::NoConnection,
            FaultKind::Break(how) => Fate::Broken { how, is_accepted: dice.percent(50) },
            FaultKind::Throttled if dice.percent(30) => Fate::Refused(Refusal::BareThrottled(retry_after)),
            FaultKind::Throttled => Fate::Refused(Refusal::Throttled(retry_after)),
            FaultKind::SafeRefusal => Fate::Refused(Refusal::Safe),
            FaultKind::FinalRefusal if dice.percent(30) => Fate::Refused(Refusal::BareFinal),
            FaultKind::FinalRefusal => Fate::Refused(Refusal::Final),
            FaultKind::Forbidden => Fate::Refused(Refusal::Forbidden),
            FaultKind::Revoked => {
                memory.first_good_token = memory.tokens_granted + 1;
                Fate::Refused(Refusal::OldToken)
            }
            FaultKind::Forgetful => Fate::Served { is_forgetful: true, is_chatty: false },
            FaultKind::Chatty => Fate::Served { is_forgetful: false, is_chatty: true },
            FaultKind::NoToken => served,
        }
    }

    async fn grant(&self) -> Exchanged {
        let at = self.ledger.now();
        let number = {
            let mut memory = self.memory.lock().unwrap();
            memory.tokens_granted += 1;
            memory.tokens_granted
        };
        let dice = Dice::about(self.seed, &format!("{} token {number}", self.channel));
        let latency = dice.milliseconds(self.spec.latency_ms.clone());
        let has_fault =
            dice.percent(self.spec.fault_percent) && self.spec.faults.contains(&FaultKind::NoToken);
        let (answer, latency, word) = match dice.number(0..=2) {
            0 if has_fault => (Err(no_connection()), latency, "no connection"),
            1 if has_fault => (Err(TransportError::Timeout), TIMEOUT, "no answer"),
            2 if has_fault => (Ok(WireResponse::json(StatusCode::OK, "denied")), latency, "denied"),
            _ => (Ok(WireResponse::json(StatusCode::OK, number.to_string())), latency, "granted"),
        };
        self.ledger.log(&format!("c{} <- token {number}: {word}", self.channel));
        tokio::time::sleep(latency).await;
        self.ledger.granted(Granted { at, channel: self.channel, ended: self.ledger.now() });
        answer
    }
}

/// Whom a call to everybody reaches.
pub(crate) fn members(marker: Marker) -> Vec<String> {
    (0..=marker.batch % 4).map(|member| format!("m{member}")).collect()
}

fn no_connection() -> TransportError {
    TransportError::Connect("refused".into())
}

fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap()
}

fn refuse(refusal: Refusal, dice: &Dice) -> WireResponse {
    let word = |word: String| WireResponse::json(StatusCode::OK, word);
    match refusal {
        Refusal::Throttled(None) => word("throttled".to_owned()),
        Refusal::Throttled(Some(seconds)) => word(format!("throttled {seconds}")),
        Refusal::BareThrottled(seconds) => {
            let mut response = WireResponse::json(status(429), "<html>");
            if let Some(seconds) = seconds {
                response.headers.insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
        Refusal::Safe => word("busy".to_owned()),
        Refusal::Final => word("rejected".to_owned()),
        Refusal::BareFinal => WireResponse::json(status(dice.pick(&[400, 404, 413])), "<html>"),
        Refusal::Forbidden => word("forbidden".to_owned()),
        Refusal::OldToken => word("old-token".to_owned()),
    }
}

fn broken(how: Break) -> Exchanged {
    let word = |word: &str| Ok(WireResponse::json(StatusCode::OK, word.to_owned()));
    match how {
        Break::Reset => Err(TransportError::ConnectionReset),
        Break::Timeout => Err(TransportError::Timeout),
        Break::Page(code) => Ok(WireResponse::json(status(code), "<html>")),
        Break::Garbage => word("<html>"),
        Break::Unreadable(status) => Err(TransportError::Unreadable { status }),
        Break::Undecided => word("undecided"),
        Break::WrongLength => word("miscount"),
        Break::Panic => word("panic"),
    }
}
