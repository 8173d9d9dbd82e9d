//! All keys that are good now, swapped whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::api::keys::attempts::{Attempts, Slowdown};
use crate::api::keys::caller::{Account, Caller};
use crate::api::keys::key::{KeyDigest, id_of};
use crate::api::keys::quota::Quota;
use crate::api::keys::settings::KeySettings;

/// The keys and the wrong attempts; lives as long as the process.
pub struct KeyRing {
    current: ArcSwap<Keys>,
    attempts: Mutex<Attempts>,
}

/// One configuration's keys.
#[derive(Default)]
struct Keys {
    by_id: HashMap<Arc<str>, Entry>,
    /// Those that are configured without their id. Nobody can choose a digest to come close to one of these.
    by_digest: HashMap<[u8; 32], Entry>,
    accounts: HashMap<Arc<str>, Arc<Account>>,
}

struct Entry {
    digest: KeyDigest,
    account: Arc<Account>,
}

impl KeyRing {
    /// The ring of these keys; with none of them nobody is asked for one.
    #[must_use]
    pub fn new(keys: &[KeySettings]) -> Self {
        let now = Instant::now();
        let current = Keys::new(keys, &Keys::default(), now);
        Self { current: ArcSwap::from_pointee(current), attempts: Mutex::new(Attempts::new(now)) }
    }

    /// Puts these keys in the place of all others, from the next request on.
    ///
    /// A caller keeps what it has used of its quotas, also if they change.
    pub fn replace(&self, keys: &[KeySettings]) {
        let next = Keys::new(keys, &self.current.load(), Instant::now());
        self.current.store(Arc::new(next));
    }

    /// Whether nobody is asked for a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.current.load().accounts.is_empty()
    }

    /// The caller that this key belongs to; `None` = it is wrong.
    ///
    /// A key with an unknown id, and what is no key at all, costs as much as one with a wrong secret.
    #[must_use]
    pub fn find(&self, presented: &str) -> Option<Caller> {
        let keys = self.current.load();
        let digest = KeyDigest::of(presented);
        let entry = id_of(presented).and_then(|id| keys.by_id.get(id));
        // Stands in for a missing entry, so that the comparison is made in any case.
        let expected = entry.map_or(KeyDigest::OF_NONE, |entry| entry.digest);
        let is_right = digest.matches(&expected);
        let entry = entry.filter(|_| is_right).or_else(|| keys.by_digest.get(digest.as_bytes()));
        entry.map(|entry| Caller::of(Arc::clone(&entry.account)))
    }

    /// Notes a wrong key from this address; also returns whether that is worth a log line.
    pub fn note_wrong(&self, address: IpAddr) -> (Slowdown, bool) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).note(address, Instant::now())
    }
}

impl Keys {
    fn new(settings: &[KeySettings], previous: &Self, now: Instant) -> Self {
        let mut keys = Self::default();
        for KeySettings { name, id, digest, rights } in settings {
            let account = keys.accounts.entry(Arc::clone(name)).or_insert_with(|| {
                let quota = match previous.accounts.get(name) {
                    Some(known) => Arc::clone(&known.quota),
                    None => Arc::new(Mutex::new(Quota::new(rights, now))),
                };
                quota.lock().unwrap_or_else(PoisonError::into_inner).change(rights, now);
                Arc::new(Account { name: Arc::clone(name), rights: rights.clone(), quota })
            });
            let entry = Entry { digest: *digest, account: Arc::clone(account) };
            match id {
                Some(id) => keys.by_id.insert(Arc::clone(id), entry),
                None => keys.by_digest.insert(*digest.as_bytes(), entry),
            };
        }
        keys
    }
}
