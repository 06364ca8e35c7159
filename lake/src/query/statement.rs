//! From SQL text to one statement and the tables it names.

use std::collections::BTreeSet;

use datafusion::common::TableReference;
use datafusion::execution::session_state::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as Ast};

use crate::Table;
use crate::query::catalog::{CATALOG, SCHEMA};
use crate::query::{QueryError, QueryResult};

/// Reads one statement.
pub(crate) fn parse(state: &SessionState, sql: &str) -> QueryResult<Statement> {
    if sql.trim().is_empty() {
        return Err(QueryError::User(
            "the query is empty; try SELECT * FROM vehicle_data LIMIT 10".to_owned(),
        ));
    }
    let dialect = state.config_options().sql_parser.dialect;
    let statement = state.sql_to_statement(sql, &dialect)?;
    match changes_something(&statement) {
        true => Err(read_only()),
        false => Ok(statement),
    }
}

/// What a statement that is more than a question gets, whatever else may be wrong
/// with it.
pub(crate) fn read_only() -> QueryError {
    QueryError::User(
        "this is read only: the tables hold what the streams brought, and only queries are \
         answered (SELECT, WITH, EXPLAIN, SHOW TABLES, DESCRIBE)"
            .to_owned(),
    )
}

fn changes_something(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => !is_question(statement),
        Statement::Explain(explain) => changes_something(&explain.statement),
        _ => true,
    }
}

fn is_question(statement: &Ast) -> bool {
    match statement {
        // `WITH x AS (...) INSERT ...` is parsed as a query.
        Ast::Query(query) => !matches!(
            query.body.as_ref(),
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        ),
        Ast::Explain { statement, .. } => is_question(statement),
        Ast::ExplainTable { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowVariables { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowCreate { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowDatabases { .. }
        | Ast::ShowSchemas { .. } => true,
        _ => false,
    }
}

/// The lake's tables that the statement names. A name that is none is an error
/// that says which are near.
pub(crate) fn tables_of(
    state: &SessionState,
    statement: &Statement,
) -> QueryResult<BTreeSet<Table>> {
    let mut tables = BTreeSet::new();
    for reference in state.resolve_table_references(statement)? {
        if reference.schema() == Some("information_schema") {
            continue;
        }
        let ours = reference.catalog().is_none_or(|catalog| catalog == CATALOG)
            && reference.schema().is_none_or(|schema| schema == SCHEMA);
        match Table::from_name(reference.table()).filter(|_| ours) {
            Some(table) => {
                tables.insert(table);
            }
            None if state.table_functions().contains_key(reference.table()) => {}
            None => return Err(QueryError::User(unknown_table(&reference))),
        }
    }
    Ok(tables)
}

fn unknown_table(reference: &TableReference) -> String {
    let names: Vec<&str> = Table::all().map(Table::name).collect();
    let wanted = reference.table().to_lowercase();
    let nearest = names
        .iter()
        .map(|name| (strsim::jaro_winkler(&wanted, name), *name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.8);
    let hint = nearest.map_or(String::new(), |(_, name)| format!("; did you mean {name}?"));
    format!(
        "there is no table \"{reference}\"{hint} (tables: {})",
        names.join(", ")
    )
}
