//! What is measured of models that fail: where their circuits are, and how often another one was asked instead.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::circuit::Position;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CircuitLabels {
    model: String,
    provider: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PositionLabels {
    model: String,
    provider: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabel {
    model: String,
}

/// Those of all circuits of this process.
#[derive(Debug, Default)]
pub(crate) struct Circuits {
    position: Family<PositionLabels, Gauge>,
    opened: Family<CircuitLabels, Counter>,
    passed_over: Family<ModelLabel, Counter>,
}

impl Circuits {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "model_circuit",
            "Where a model's circuit is: 1 for one of closed, open (it failed again and again, and is not asked) and half_open (one request tries it)",
            self.position.clone(),
        );
        registry.register(
            "model_circuit_opened",
            "Times that a model's circuit was opened, by probes that failed, too",
            self.opened.clone(),
        );
        registry.register(
            "model_passed_over",
            "Times that a model had failed, or its circuit was open, and the next one was asked",
            self.passed_over.clone(),
        );
    }

    /// Those of one circuit, which is closed.
    pub(crate) fn of(&self, model: &str, provider: &'static str) -> OfCircuit {
        let model = model.to_owned();
        let position = |state: Position| {
            let (model, state) = (model.clone(), state.name());
            let labels = PositionLabels {
                model,
                provider,
                state,
            };
            self.position.get_or_create(&labels).clone()
        };
        let positions = Position::ALL.map(|state| (state, position(state)));
        drop(self.passed_over.get_or_create(&ModelLabel {
            model: model.clone(),
        }));
        let labels = CircuitLabels { model, provider };
        let of_circuit = OfCircuit {
            positions,
            opened: self.opened.get_or_create(&labels).clone(),
        };
        of_circuit.set(Position::Closed);
        of_circuit
    }

    /// A model was passed over.
    pub(crate) fn passed_over(&self, model: &str) {
        let model = model.to_owned();
        self.passed_over.get_or_create(&ModelLabel { model }).inc();
    }
}

/// Those of one circuit.
#[derive(Debug, Clone)]
pub(crate) struct OfCircuit {
    positions: [(Position, Gauge); 3],
    opened: Counter,
}

impl OfCircuit {
    /// It has come to be there.
    pub(crate) fn is_at(&self, position: Position) {
        if position == Position::Open {
            self.opened.inc();
        }
        self.set(position);
    }

    fn set(&self, position: Position) {
        for (state, gauge) in &self.positions {
            gauge.set(i64::from(*state == position));
        }
    }
}
