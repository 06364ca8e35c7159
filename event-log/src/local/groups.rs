//! Consumer groups within this process: who reads which partition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use events::TopicPartition;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Every group of a log.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: Mutex<HashMap<String, Group>>,
}

/// A partition belongs to its owner until the owner gives it up; its target is
/// who is to own it next. The two differ during a rebalance.
#[derive(Debug, Default)]
struct Group {
    next_id: u64,
    members: BTreeMap<u64, Member>,
    owners: BTreeMap<TopicPartition, u64>,
    targets: BTreeMap<TopicPartition, u64>,
}

#[derive(Debug)]
struct Member {
    partitions: BTreeSet<TopicPartition>,
    wake: Arc<Notify>,
    /// Told to give these up, and has not yet.
    revoking: HashSet<TopicPartition>,
    /// Told what is its own, be it nothing.
    told: bool,
}

/// A change that a member is to be told of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
}

/// One consumer's place in a group; dropping it leaves the group.
#[derive(Debug)]
pub(super) struct Membership {
    groups: Arc<Groups>,
    group: String,
    id: u64,
}

impl Membership {
    /// Joins `group` for `partitions`. `wake` is notified when there is a change.
    pub(super) fn join(
        groups: &Arc<Groups>,
        group: &str,
        partitions: BTreeSet<TopicPartition>,
        wake: Arc<Notify>,
    ) -> Self {
        let mut by_name = groups.by_name.lock();
        let state = by_name.entry(group.to_owned()).or_default();
        let id = state.next_id;
        state.next_id += 1;
        state.members.insert(
            id,
            Member {
                partitions,
                wake,
                revoking: HashSet::new(),
                told: false,
            },
        );
        state.rebalance();
        Self {
            groups: groups.clone(),
            group: group.to_owned(),
            id,
        }
    }

    /// What this member is to be told next, once.
    pub(super) fn next_change(&self) -> Option<Change> {
        self.groups
            .by_name
            .lock()
            .get_mut(&self.group)?
            .next_change(self.id)
    }

    /// Whether the partition is this member's now.
    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        let by_name = self.groups.by_name.lock();
        by_name
            .get(&self.group)
            .is_some_and(|group| group.owners.get(partition) == Some(&self.id))
    }

    /// Gives partitions up.
    pub(super) fn release(&self, partitions: &[TopicPartition]) {
        if let Some(group) = self.groups.by_name.lock().get_mut(&self.group) {
            group.release(self.id, partitions);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut by_name = self.groups.by_name.lock();
        let Some(group) = by_name.get_mut(&self.group) else {
            return;
        };
        group.members.remove(&self.id);
        group.owners.retain(|_, owner| *owner != self.id);
        group.rebalance();
        if group.members.is_empty() {
            by_name.remove(&self.group);
        }
    }
}

impl Group {
    /// Divides the partitions evenly, moving as few as possible.
    fn rebalance(&mut self) {
        let all: BTreeSet<_> = self
            .members
            .values()
            .flat_map(|member| member.partitions.iter().cloned())
            .collect();
        let share = all.len().div_ceil(self.members.len().max(1));
        let mut loads: BTreeMap<u64, usize> = self.members.keys().map(|id| (*id, 0)).collect();
        let mut targets = BTreeMap::new();
        for partition in &all {
            let owner = self
                .owners
                .get(partition)
                .or_else(|| self.targets.get(partition))
                .copied();
            let keeps = |id: &u64| {
                loads.get(id).is_some_and(|load| *load < share)
                    && self
                        .members
                        .get(id)
                        .is_some_and(|member| member.partitions.contains(partition))
            };
            if let Some(id) = owner.filter(keeps) {
                *loads.entry(id).or_default() += 1;
                targets.insert(partition.clone(), id);
            }
        }
        for partition in &all {
            if targets.contains_key(partition) {
                continue;
            }
            let takers = self
                .members
                .iter()
                .filter(|(_, member)| member.partitions.contains(partition));
            if let Some(id) = takers
                .map(|(id, _)| *id)
                .min_by_key(|id| (loads.get(id).copied(), *id))
            {
                *loads.entry(id).or_default() += 1;
                targets.insert(partition.clone(), id);
            }
        }
        self.targets = targets;
        for member in self.members.values() {
            member.wake.notify_one();
        }
    }

    fn next_change(&mut self, id: u64) -> Option<Change> {
        let member = self.members.get_mut(&id)?;
        let is_target = |partition: &TopicPartition| self.targets.get(partition) == Some(&id);
        let revoked: Vec<_> = self
            .owners
            .iter()
            .filter(|(partition, owner)| {
                **owner == id && !is_target(partition) && !member.revoking.contains(*partition)
            })
            .map(|(partition, _)| partition.clone())
            .collect();
        if !revoked.is_empty() {
            member.revoking.extend(revoked.iter().cloned());
            return Some(Change::Revoked(revoked));
        }
        let assigned: Vec<_> = self
            .targets
            .iter()
            .filter(|(partition, target)| **target == id && !self.owners.contains_key(*partition))
            .map(|(partition, _)| partition.clone())
            .collect();
        let was_told = std::mem::replace(&mut member.told, true);
        if assigned.is_empty() && was_told {
            return None;
        }
        self.owners
            .extend(assigned.iter().map(|partition| (partition.clone(), id)));
        Some(Change::Assigned(assigned))
    }

    fn release(&mut self, id: u64, partitions: &[TopicPartition]) {
        for partition in partitions {
            if self.owners.get(partition) != Some(&id) {
                continue;
            }
            self.owners.remove(partition);
            if let Some(member) = self.members.get_mut(&id) {
                member.revoking.remove(partition);
            }
            if let Some(next) = self
                .targets
                .get(partition)
                .and_then(|target| self.members.get(target))
            {
                next.wake.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partitions(count: i32) -> BTreeSet<TopicPartition> {
        (0..count)
            .map(|number| TopicPartition::new("t", number))
            .collect()
    }

    fn join(groups: &Arc<Groups>, count: i32) -> Membership {
        Membership::join(groups, "g", partitions(count), Arc::default())
    }

    fn assigned(membership: &Membership) -> Vec<TopicPartition> {
        match membership.next_change() {
            Some(Change::Assigned(partitions)) => partitions,
            other => panic!("expected an assignment, got {other:?}"),
        }
    }

    #[test]
    fn the_first_member_gets_everything_and_shares_with_the_second() {
        let groups = Arc::default();
        let first = join(&groups, 3);
        assert_eq!(assigned(&first).len(), 3);
        assert_eq!(first.next_change(), None);

        let second = join(&groups, 3);
        assert!(
            assigned(&second).is_empty(),
            "nothing is given before it is released"
        );
        assert_eq!(second.next_change(), None, "that is told once");
        let Some(Change::Revoked(moved)) = first.next_change() else {
            panic!("nothing was revoked")
        };
        assert_eq!(moved.len(), 1);
        assert_eq!(first.next_change(), None, "a revocation is told once");
        assert!(first.owns(&moved[0]));
        first.release(&moved);
        assert_eq!(assigned(&second), moved);
    }

    #[test]
    fn a_member_that_leaves_gives_everything_back() {
        let groups = Arc::default();
        let first = join(&groups, 2);
        assigned(&first);
        let second = join(&groups, 2);
        drop(first);
        assert_eq!(assigned(&second).len(), 2);
        drop(second);
        assert!(groups.by_name.lock().is_empty());
    }

    #[test]
    fn more_members_than_partitions_leave_some_idle() {
        let groups = Arc::default();
        let members: Vec<_> = (0..3).map(|_| join(&groups, 2)).collect();
        let counts: Vec<_> = members
            .iter()
            .map(|member| assigned(member).len())
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), 2);
        assert_eq!(counts.iter().max(), Some(&1));
    }
}
