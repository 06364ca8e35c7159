//! A compaction's progress: a bar on a terminal, plain lines elsewhere, on stderr.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lake::maintain::Progress;

use crate::terminal::tell;

/// Without a terminal, one line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows one date's progress.
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
        let rate = progress.rows as f64 / seconds;
        if let Some(bar) = &self.bar {
            if bar.length().is_none() {
                bar.set_length(progress.total_rows);
                bar.set_style(style());
            }
            bar.set_message(format!("{rate:.0} rows/s"));
            bar.set_position(progress.rows);
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            let share = 100.0 * progress.rows as f64 / progress.total_rows.max(1) as f64;
            tell(&format!("{}: {share:.0} %, {rate:.0} rows/s", self.name));
        }
    }
}

/// The fixed text is known to be a valid template; another would show no bar.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:30}] {percent} % {msg} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// A size as people read it.
pub fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        size if size >= 1e9 => format!("{:.2} GB", size / 1e9),
        size if size >= 1e6 => format!("{:.1} MB", size / 1e6),
        size if size >= 1e3 => format!("{:.1} kB", size / 1e3),
        _ => format!("{bytes} bytes"),
    }
}
