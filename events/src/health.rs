//! How each component is doing, for `/readyz`, `/api/health` and the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The state of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not yet at work.
    Starting,
    /// At work.
    Ready,
    /// Cannot work now and retries; the sentence says why and what to do.
    Degraded(String),
}

/// Shared board on which components report. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct HealthBoard {
    components: Arc<Mutex<BTreeMap<&'static str, Health>>>,
}

impl HealthBoard {
    /// Sets `component`'s state and returns whether that changed it.
    pub fn report(&self, component: &'static str, health: Health) -> bool {
        let mut components = self
            .components
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        components.insert(component, health.clone()) != Some(health)
    }

    /// Every component's state.
    pub fn all(&self) -> BTreeMap<&'static str, Health> {
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// True when no component is starting or degraded.
    pub fn is_ready(&self) -> bool {
        self.all().values().all(|health| *health == Health::Ready)
    }
}
