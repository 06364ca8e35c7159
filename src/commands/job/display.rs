//! A run's progress: a bar on a terminal, plain lines elsewhere, on stderr. How many
//! rows there will be nobody knows beforehand, so that it says how many there are.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use batch_layer::jobs::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::commands::maintain::bytes;
use crate::terminal::tell;

/// Without a terminal, one line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows one run's progress.
pub struct Display {
    name: String,
    bar: Option<ProgressBar>,
    began: Instant,
    next_line: Instant,
}

/// Takes the bar away.
pub struct Handle(Option<ProgressBar>);

impl Handle {
    /// Nothing of it stays on the screen.
    pub fn finish(self) {
        if let Some(bar) = self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Display {
    /// Draws nothing yet.
    pub fn new(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            bar.set_prefix(name.to_owned());
            bar.set_style(style());
            bar
        });
        Self {
            name: name.to_owned(),
            bar,
            began: Instant::now(),
            next_line: Instant::now() + LINE_EVERY,
        }
    }

    /// For the end.
    pub fn handle(&self) -> Handle {
        Handle(self.bar.clone())
    }

    /// Takes in how far it is.
    pub fn show(&mut self, progress: Progress) {
        let seconds = self.began.elapsed().as_secs_f64().max(1e-3);
        let text = format!(
            "{} rows read ({:.0} rows/s), {} written, {}",
            progress.rows_read,
            progress.rows_read as f64 / seconds,
            progress.rows_written,
            bytes(progress.bytes_written)
        );
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            tell(&format!("{}: {text}", self.name));
        }
    }
}

/// The fixed text is known to be a valid template; another would show no bar.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}
