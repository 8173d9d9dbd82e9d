//! Channels built from settings, the way the configuration does.

use serde_json::Value;

use crate::adapter::channel::{CommonSettings, Provider};
use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::secret::Secret;
use crate::adapter::wire::WireRequest;
use crate::adapter::{Adapter, Attempt, Auth, Sign, Token, TokenGrant};
use crate::domain::fault::Fault;

/// A channel that is ready to send.
pub(crate) struct TestChannel {
    pub(crate) adapter: Box<dyn Adapter>,
    pub(crate) auth: Auth,
}

impl TestChannel {
    /// The token grant of a provider that has tokens.
    pub(crate) fn grant(&self) -> &dyn TokenGrant {
        match &self.auth {
            Auth::Token(grant) => &**grant,
            Auth::Sign(_) => panic!("this provider signs its requests"),
        }
    }

    /// The signer of a provider that has no tokens.
    pub(crate) fn signer(&self) -> &dyn Sign {
        match &self.auth {
            Auth::Sign(signer) => &**signer,
            Auth::Token(_) => panic!("this provider has tokens"),
        }
    }

    /// The request with `token`, which got none so far.
    pub(crate) fn with_token(
        &self,
        attempt: &Attempt<'_>,
        token: &str,
        mut request: WireRequest,
    ) -> WireRequest {
        let token =
            Token { value: Secret::new(token), issued_at: attempt.now, lifetime: None, refresh_at: None };
        self.grant().attach(attempt, &token, &mut request).unwrap();
        request
    }

    /// The request with its signature, which got none so far.
    pub(crate) fn signed(&self, attempt: &Attempt<'_>, mut request: WireRequest) -> WireRequest {
        self.signer().sign(attempt, &mut request).unwrap();
        request
    }
}

/// Reads TOML as the JSON that settings are read from.
pub(crate) fn from_toml(text: &str) -> Value {
    let file = config::File::from_str(text, config::FileFormat::Toml);
    let settings = config::Config::builder().add_source(file).build().unwrap();
    settings.try_deserialize().unwrap()
}

/// The members of `first` with those of `second` over them; `null` has no members.
pub(crate) fn merged(first: &Value, second: &Value) -> Value {
    let mut whole = first.clone();
    for (name, value) in second.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    whole
}

/// Builds a channel from `keys` over the provider's defaults, or says why not.
pub(crate) fn try_channel(provider: &Provider, keys: &Value) -> Result<TestChannel, Vec<Fault>> {
    let base = from_toml("base_url = \"https://provider.example.com\"");
    let settings = merged(&merged(&base, &from_toml(provider.defaults)), keys).to_string();
    let mut fields = Fields::parse(&settings, "", Numbers::OrText).unwrap();
    let common = CommonSettings::read(&mut fields, provider.most_recipients_per_call);
    let built = common.and_then(|common| (provider.build)(&common, &mut fields));
    let faults = fields.finish();
    match built {
        Some((adapter, auth)) if faults.is_empty() => Ok(TestChannel { adapter, auth }),
        built => {
            assert!(!faults.is_empty(), "no channel and no fault: {}", built.is_some());
            Err(faults)
        }
    }
}
