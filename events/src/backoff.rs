//! Delays between retries.

use std::time::Duration;

/// Exponential delays from 100 ms to 10 s. Pure: the caller sleeps.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(10);

    /// Starts at the shortest delay.
    pub fn new() -> Self {
        Self { next: Self::FIRST }
    }

    /// How long to wait before the next try; doubles each time.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(Self::LONGEST);
        delay
    }

    /// After a success: start again at the shortest delay.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}
