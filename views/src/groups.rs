//! What was measured of many things, and those columns of a view that say it.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int64Builder, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use events::aggregate::Aggregate;
use foldhash::HashMap;
use lake::View;

use crate::Result;

/// Values of one thing in one span of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) aggregate: Aggregate,
    /// Different devices; they come one after the other.
    pub(crate) vehicles: u64,
    last_device: u64,
}

/// Values of many.
#[derive(Debug)]
pub(crate) struct Groups<K> {
    by_key: HashMap<K, u32>,
    groups: Vec<Group>,
    /// What the newest value was of: mostly the next one is of the same.
    newest: Option<(K, u32)>,
}

impl<K> Default for Groups<K> {
    fn default() -> Self {
        Self {
            by_key: HashMap::default(),
            groups: Vec::new(),
            newest: None,
        }
    }
}

impl<K: Hash + Eq + Ord + Clone> Groups<K> {
    /// Takes a value of the `device`-th device in; devices count from 1, and each is
    /// done with before the next.
    #[inline]
    pub(crate) fn add(&mut self, key: K, value: f64, device: u64) {
        let at = match &self.newest {
            Some((newest, at)) if *newest == key => *at,
            _ => {
                let at = self.place_of(key.clone());
                self.newest = Some((key, at));
                at
            }
        };
        let group = &mut self.groups[at as usize];
        group.aggregate.add(value);
        if group.last_device != device {
            group.last_device = device;
            group.vehicles += 1;
        }
    }

    fn place_of(&mut self, key: K) -> u32 {
        *self.by_key.entry(key).or_insert_with(|| {
            self.groups.push(Group::default());
            (self.groups.len() - 1) as u32
        })
    }

    /// Takes in what other devices have come to.
    pub(crate) fn merge(&mut self, mut other: Self) {
        for (key, at) in other.by_key {
            let group = std::mem::take(&mut other.groups[at as usize]);
            let at = self.place_of(key);
            let own = &mut self.groups[at as usize];
            own.vehicles += group.vehicles;
            match own.aggregate.is_empty() {
                true => own.aggregate = group.aggregate,
                false => own.aggregate.merge(&group.aggregate),
            }
        }
    }

    /// In an order that does not depend on how they came.
    pub(crate) fn into_sorted(mut self) -> Vec<(K, Group)> {
        let mut group_at = |at: u32| std::mem::take(&mut self.groups[at as usize]);
        let all = self.by_key.into_iter();
        let mut all: Vec<_> = all.map(|(key, at)| (key, group_at(at))).collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

/// Columns in the making, by name.
pub(crate) struct ViewRows {
    view: View,
    columns: HashMap<&'static str, ArrayRef>,
}

impl ViewRows {
    pub(crate) fn new(view: View) -> Self {
        Self {
            view,
            columns: HashMap::default(),
        }
    }

    pub(crate) fn put(&mut self, name: &'static str, column: ArrayRef) {
        self.columns.insert(name, column);
    }

    pub(crate) fn put_instants(
        &mut self,
        name: &'static str,
        instants: impl Iterator<Item = Option<i64>>,
    ) {
        let instants: TimestampMicrosecondArray = instants.collect();
        self.put(name, Arc::new(instants.with_timezone("UTC")));
    }

    /// `count` to `aggregate`, and `vehicles` where the view has it.
    pub(crate) fn put_measured<'g>(&mut self, groups: impl Iterator<Item = &'g Group>) {
        const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];
        let mut numbers: Vec<Float64Builder> = (0..7).map(|_| Float64Builder::new()).collect();
        let (mut count, mut vehicles) = (Int64Builder::new(), Int64Builder::new());
        let mut bytes = BinaryBuilder::new();
        for group in groups {
            let (aggregate, moments) = (&group.aggregate, &group.aggregate.moments);
            count.append_value(i64::try_from(moments.count).unwrap_or(i64::MAX));
            vehicles.append_value(i64::try_from(group.vehicles).unwrap_or(i64::MAX));
            let [p50, p90, p99] = QUANTILES.map(|(_, q)| aggregate.quantile(q));
            let values = [
                moments.mean(),
                Some(moments.min),
                Some(moments.max),
                p50,
                p90,
                p99,
                Some(moments.sum()),
            ];
            for (builder, value) in numbers.iter_mut().zip(values) {
                builder.append_option(value);
            }
            bytes.append_value(aggregate.to_bytes());
        }
        self.put("count", Arc::new(count.finish()));
        self.put("vehicles", Arc::new(vehicles.finish()));
        self.put("aggregate", Arc::new(bytes.finish()));
        let names = ["mean", "min", "max", "p50", "p90", "p99", "sum"];
        for (name, mut builder) in names.into_iter().zip(numbers) {
            self.put(name, Arc::new(builder.finish()));
        }
    }

    /// The rows, all of one date.
    pub(crate) fn finish(mut self, date: i32, count: usize) -> Result<RecordBatch> {
        let dates = arrow::array::Date32Array::from_value(date, count);
        self.put("date", Arc::new(dates));
        let schema: SchemaRef = self.view.schema();
        let columns = schema.fields().iter().map(|field| {
            let column = self.columns.remove(field.name().as_str());
            column.ok_or(crate::Error::Column("of a view"))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
