//! Metrics and access log of every request.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;

/// Counts and times the request by route and status. The route is the pattern,
/// so that there are as many series as there are paths.
pub(crate) async fn request(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;

    let route = matched
        .as_ref()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    tracing::debug!(%method, path, status, elapsed_ms = elapsed.as_secs_f64() * 1e3, "request answered");
    let labels = [
        ("method", known_method(method.as_str())),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::counter!("citypulse_http_requests_total", &labels).increment(1);
    metrics::histogram!("citypulse_http_request_duration_seconds", &labels[..2]).record(elapsed);
    response
}

/// A client may invent methods: those share one series.
fn known_method(method: &str) -> String {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
        .to_owned()
}

/// The text of `/metrics` in OpenMetrics 1.0 from the Prometheus text format
/// 0.0.4: counters' families are named without `_total`, no empty lines, an end.
pub(crate) fn open_metrics(prometheus: &str) -> String {
    let mut out = String::with_capacity(prometheus.len() + 8);
    let mut help = None;
    let mut counter: Option<&str> = None;
    for line in prometheus.lines().filter(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ');
        } else if let Some((family, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|text| text.split_once(' '))
        {
            let is_counter = kind == "counter";
            let name = if is_counter {
                family.strip_suffix("_total").unwrap_or(family)
            } else {
                family
            };
            // A counter that is not named `_total` needs it on its samples.
            counter = (is_counter && name == family).then_some(family);
            if let Some((_, text)) = help.take().filter(|(described, _)| *described == family) {
                out.push_str(&format!("# HELP {name} {text}\n"));
            }
            out.push_str(&format!("# TYPE {name} {kind}\n"));
        } else if let Some((family, rest)) =
            counter.and_then(|family| Some((family, line.strip_prefix(family)?)))
        {
            out.push_str(&format!("{family}_total{rest}\n"));
        } else {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::open_metrics;

    #[test]
    fn prometheus_text_becomes_open_metrics() {
        let prometheus = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 5\n\n\
            # TYPE b counter\nb 2\n\n# TYPE c gauge\nc 1\n";
        let expected = "# HELP a Things.\n# TYPE a counter\na_total{x=\"1\"} 5\n\
            # TYPE b counter\nb_total 2\n# TYPE c gauge\nc 1\n# EOF\n";
        assert_eq!(open_metrics(prometheus), expected);
    }
}
