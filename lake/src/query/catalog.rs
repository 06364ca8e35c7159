//! The names a query can use: every table, pinned or by its columns alone.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    SchemaProvider, TableProvider,
};
use datafusion::common::Result;
use datafusion::datasource::empty::EmptyTable;

use crate::Table;
use crate::query::provider::PinnedTable;

/// The catalog's name in `information_schema`.
pub(crate) const CATALOG: &str = "citypulse";
/// The schema's name.
pub(crate) const SCHEMA: &str = "public";

/// The tables of one query.
#[derive(Debug)]
struct PinnedSchema {
    tables: HashMap<&'static str, Arc<PinnedTable>>,
}

#[async_trait]
impl SchemaProvider for PinnedSchema {
    fn table_names(&self) -> Vec<String> {
        Table::all().map(|table| table.name().to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(pinned) = self.tables.get(name) {
            return Ok(Some(pinned.clone()));
        }
        // Named by the information schema only: its columns are all that is asked.
        Ok(Table::from_name(name)
            .map(|table| Arc::new(EmptyTable::new(table.schema())) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        Table::from_name(name).is_some()
    }
}

/// A catalog in which `tables` are pinned.
pub(crate) fn catalog_of(tables: Vec<PinnedTable>) -> Result<Arc<dyn CatalogProviderList>> {
    let tables = tables
        .into_iter()
        .map(|table| (table.table.name(), Arc::new(table)))
        .collect();
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(SCHEMA, Arc::new(PinnedSchema { tables }))?;
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}
