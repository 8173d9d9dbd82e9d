//! What the one who asks for a resend may do, asked where it is known whom the resend goes to.

use crate::dispatch::resend::Refusal;
use crate::domain::batch::Batch;
use crate::store::StoreError;

/// The rights and quotas of the one who asks.
pub trait Permission: Send + 'static {
    /// Why not.
    type Denial: Send + 'static;

    /// Whether the routes of this batch may be sent: asked before anything else of it is judged.
    ///
    /// # Errors
    /// They may not.
    fn allow(&self, batch: &Batch) -> Result<(), Self::Denial>;

    /// Takes so many recipients from a quota: asked last, when the batch could start.
    ///
    /// # Errors
    /// There are not so many left.
    fn take_recipients(&self, count: usize) -> Result<(), Self::Denial>;

    /// Takes them back, since the batch did not start after all.
    fn give_back_recipients(&self, count: usize);
}

/// Why nothing was sent, nor will be; `D` is what a [`Permission`] says.
#[derive(Debug)]
pub enum NotResent<D> {
    /// Who asks may not.
    Denied(D),
    /// Nobody could.
    Refused(Refusal),
}

impl<D> From<Refusal> for NotResent<D> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<D> From<StoreError> for NotResent<D> {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}
