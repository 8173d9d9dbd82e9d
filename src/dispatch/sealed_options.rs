//! Keeps credentials that callers give in a route's options out of the store: the options are sealed there.
//!
//! A plan sends by the open route; its batch, of which reports are made and which the store keeps, has the sealed one.

use std::sync::Arc;

use crate::adapter::secret::Secret;
use crate::adapter::{Auth, GivenCredentials};
use crate::dispatch::Channels;
use crate::dispatch::channel::ChannelRuntime;
use crate::domain::batch::Batch;
use crate::domain::json::JsonText;
use crate::domain::route::Route;
use crate::store::sealed::{SealError, Sealer};

/// What the sealed value is for.
const PURPOSE: &str = "options";

/// Why a batch whose options cannot be opened is not sent.
pub(super) const LOST_CREDENTIALS: &str = "the channel's secret has changed, so that the credentials that came with \
    the request cannot be read any more: send it as a new request";

/// The route as its adapter reads it.
///
/// # Errors
/// [`SealError`]: its options were sealed with another secret than the channel has now.
pub(super) fn open(route: &Arc<Route>, channel: &ChannelRuntime) -> Result<Arc<Route>, SealError> {
    let Some(sealed) = &route.sealed_options else { return Ok(Arc::clone(route)) };
    let given = given_credentials(channel).ok_or(SealError)?;
    let options = sealer(channel, given.secret)?.open(PURPOSE, sealed)?;
    let options = JsonText::from_serialized(String::from_utf8(options).map_err(|_| SealError)?);
    Ok(Arc::new(Route { provider_options: Some(options), sealed_options: None, ..Route::clone(route) }))
}

/// The route as it is kept: sealed if its options may hold credentials.
///
/// # Errors
/// [`SealError`]: none in practice.
pub(super) fn seal(route: &Arc<Route>, channel: &ChannelRuntime) -> Result<Arc<Route>, SealError> {
    let (Some(options), Some(given)) = (&route.provider_options, given_credentials(channel)) else {
        return Ok(Arc::clone(route));
    };
    if !may_have(options, given.field) {
        return Ok(Arc::clone(route));
    }
    let sealed = sealer(channel, given.secret)?.seal(PURPOSE, options.as_str().as_bytes())?;
    let sealed_options = Some(sealed.into());
    Ok(Arc::new(Route { provider_options: None, sealed_options, ..Route::clone(route) }))
}

/// Whether a batch that was kept cannot be sent any more, because a channel's secret has changed since.
pub(super) fn is_lost(batch: &Batch, channels: &Channels) -> bool {
    batch.routes.iter().any(|route| {
        channels.get(route.channel.as_str()).is_some_and(|channel| open(route, channel).is_err())
    })
}

/// Whether a field of this name may be in it. The text is compact and its names are written without needless escapes;
/// what only looks like the field is sealed as well, which harms nobody.
fn may_have(options: &JsonText, field: &str) -> bool {
    options.as_str().contains(&format!("\"{field}\""))
}

fn given_credentials(channel: &ChannelRuntime) -> Option<GivenCredentials<'_>> {
    match &channel.channel().auth {
        Auth::Sign(sign) => sign.given_credentials(),
        Auth::Token(_) => None,
    }
}

fn sealer(channel: &ChannelRuntime, secret: &Secret) -> Result<Sealer, SealError> {
    Sealer::new(channel.name().as_str(), secret)
}
