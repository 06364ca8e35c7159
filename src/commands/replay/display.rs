//! A replay's progress: a bar on a terminal, plain lines elsewhere. Both on
//! stderr; only the summary goes to stdout.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use generators::replay::{Status, Summary, Update};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal::tell;

/// Without a terminal, one line so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Bad rows that are printed; the others are counted.
const BAD_ROWS_SHOWN: u64 = 10;

/// Shows one file's progress.
pub struct Display {
    name: String,
    bar: Option<ProgressBar>,
    next_line: Instant,
    bad_rows: u64,
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
            next_line: Instant::now() + LINE_EVERY,
            bad_rows: 0,
        }
    }

    /// Takes in what the replay tells.
    pub fn show(&mut self, update: Update) {
        match update {
            Update::Progress(status) => self.progress(&status),
            Update::Notice(notice) => self.print(&format!("{}: {notice}", self.name)),
            Update::BadRow { line, cause } => {
                self.bad_rows += 1;
                match self.bad_rows {
                    ..=BAD_ROWS_SHOWN => self.print(&format!("{}:{line}: {cause}", self.name)),
                    shown if shown == BAD_ROWS_SHOWN + 1 => {
                        self.print(&format!(
                            "{}: more bad rows follow; they are counted",
                            self.name
                        ));
                    }
                    _ => {}
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, status: &Status) {
        let figures = figures(status);
        if let Some(bar) = &self.bar {
            if let Some(total) = status.total_bytes.filter(|_| bar.length().is_none()) {
                bar.set_length(total);
                bar.set_style(style());
            }
            bar.set_message(figures);
            bar.set_position(status.read_bytes);
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            let total = status.total_bytes.filter(|total| *total > 0);
            let share = total
                .map(|total| format!(", {:.0} %", 100.0 * status.read_bytes as f64 / total as f64));
            let share = share.unwrap_or_default();
            tell(&format!("{}: {figures}{share}", self.name));
        }
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell(line)),
            None => tell(line),
        }
    }
}

/// The fixed text is known to be a valid template; another would show no bar.
fn style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix} [{bar:30}] {percent} % {msg} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn figures(status: &Status) -> String {
    let mut text = format!(
        "{} rows, {} events accepted, {:.0} events/s",
        status.rows, status.accepted, status.events_per_s
    );
    if status.rejected + status.bad > 0 {
        text.push_str(&format!(
            ", {} rejected, {} bad",
            status.rejected, status.bad
        ));
    }
    text
}

/// What a file came to.
pub fn in_one_line(name: &str, summary: &Summary, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = summary.accepted_now as f64 / seconds.max(1e-3);
    let mut line = format!(
        "{name}: {} rows, {} events accepted, {} rejected, {} bad rows, {seconds:.1} s, {rate:.0} events/s",
        summary.rows, summary.accepted, summary.rejected, summary.bad
    );
    for (what, count) in &summary.skipped {
        line.push_str(&format!("; skipped {count} {what}"));
    }
    if let Some(row) = summary.resumed_after {
        line.push_str(&format!(
            "; went on after row {row}, {} events by this run",
            summary.accepted_now
        ));
    }
    if summary.is_interrupted {
        line.push_str("; interrupted, run it again to go on");
    }
    line
}
