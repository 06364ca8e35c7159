//! What the views say of given events. Each file in `golden/` is a case: a text that
//! says what it shows, then sections that begin with `--- ` and a table's name (events,
//! one a line, in the order of the log), `query`, or `expected` (CSV).

mod common;

use std::path::Path;

use events::Stream;

use crate::common::{City, Placed, placed};

#[tokio::test(flavor = "multi_thread")]
async fn views_say_what_the_cases_expect() {
    let folder = Path::new("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the cases")
        .map(|entry| entry.expect("a case").path())
        .collect();
    files.sort();
    assert!(files.len() >= 7, "cases are missing");
    let mut wrong = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a case");
        for (query, expected, got) in answers(&text).await {
            if expected != got {
                wrong.push(format!(
                    "{}\n{query}\nexpected:\n{expected}\ngot:\n{got}",
                    file.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Every query of a case with what is expected and what came.
async fn answers(text: &str) -> Vec<(String, String, String)> {
    let city = City::new().await;
    let mut events: Vec<Placed> = Vec::new();
    let (mut queries, mut expected) = (Vec::new(), Vec::new());
    for section in text.split("\n--- ").skip(1) {
        let (name, body) = section.split_once('\n').expect("a section has lines");
        match name.trim() {
            "query" => queries.push(body.trim().to_owned()),
            "expected" => expected.push(body.trim().to_owned()),
            table => {
                let stream = Stream::from_name(table).unwrap_or_else(|| panic!("no table {table}"));
                let lines = body.lines().filter(|line| !line.trim().is_empty());
                events.extend(lines.enumerate().map(|(n, line)| placed(stream, n, line)));
            }
        }
    }
    assert_eq!(
        queries.len(),
        expected.len(),
        "each query expects an answer"
    );
    city.commit(&events).await;
    city.refresh().await;
    let mut answers = Vec::new();
    for (query, expected) in queries.into_iter().zip(expected) {
        let got = city.csv(&query).await.trim().to_owned();
        answers.push((query, expected, got));
    }
    answers
}
