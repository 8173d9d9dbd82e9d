//! A timer that is exact to microseconds; tokio's own rounds up to the next millisecond, which would be most
//! of the latency of a fast answer.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::RigError;

/// How many arrivals may be overdue in a row before the answers get a turn on the only thread.
const OVERDUE_IN_A_ROW: u32 = 16;

/// Waits for points in time, one after the other.
pub(crate) struct Pacer {
    timer: AsyncFd<OwnedFd>,
    overdue_count: u32,
}

impl Pacer {
    pub(crate) fn new() -> Result<Self, RigError> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(std::io::Error::from);
        #[expect(
            deprecated,
            reason = "an owned descriptor keeps the rules that its successor asks for by `unsafe`"
        )]
        let timer = timer.and_then(AsyncFd::new).map_err(RigError::system("a timer"))?;
        Ok(Self { timer, overdue_count: 0 })
    }

    /// Returns at `due`, or at once if that is over.
    pub(crate) async fn until(&mut self, due: Instant) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() || self.arm(left).is_err() {
            self.overdue_count += 1;
            if self.overdue_count.is_multiple_of(OVERDUE_IN_A_ROW) {
                tokio::task::yield_now().await;
            }
            return;
        }
        self.overdue_count = 0;
        if let Ok(mut ready) = self.timer.readable().await {
            let mut expirations = [0; 8];
            // Only to make it silent again.
            let _ = rustix::io::read(self.timer.get_ref(), &mut expirations);
            ready.clear_ready();
        }
    }

    fn arm(&self, left: Duration) -> rustix::io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &once).map(drop)
    }
}
