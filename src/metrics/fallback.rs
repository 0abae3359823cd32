//! Precisions that most rows of a model do not divide, so that most weights are of another type.

use super::facts::Facts;
use super::verdict::{Verdict, Warning};
use crate::record::observation::EngineFacts;
use crate::study::model::Precision;

/// One warning per precision whose name is not that of most of its weights.
pub fn of(facts: &Facts<'_>) -> Vec<Warning> {
    let loads = facts.loads.values();
    let loads = loads.map(|load| (load.precision, &load.engine));
    let scorings = facts.scorings.values();
    let scorings = scorings.map(|(scoring, _)| (scoring.precision, &scoring.engine));
    let mut told: Vec<Precision> = Vec::new();
    let mut warnings = Vec::new();
    for (asked, engine) in loads.chain(scorings) {
        if told.contains(&asked) || !is_other(asked, engine) {
            continue;
        }
        told.push(asked);
        warnings.push(Warning {
            point: None,
            verdict: Verdict::FellBack {
                asked,
                held: engine.weight_type.clone(),
                bits_per_weight: engine.bits_per_weight,
            },
        });
    }
    warnings
}

/// The checkpoint's own precision is whatever it is, and a type of floating point divides every row.
fn is_other(asked: Precision, engine: &EngineFacts) -> bool {
    !asked.is_dense() && engine.weight_type != asked.word()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{Script, generation, point};
    use crate::record::observation::Record;

    fn told(asked: Precision, held: &str) -> Vec<String> {
        let mut point = point(1, 10, 2);
        point.precision = asked;
        let mut script = Script::new(&[point]);
        for _ in 0..2 {
            script.block(point, vec![generation(100, &[100])]);
        }
        for record in &mut script.records {
            if let Record::Load(load) = record {
                load.precision = asked;
                held.clone_into(&mut load.engine.weight_type);
                load.engine.bits_per_weight = 5.5;
            }
        }
        let warnings = of(&script.facts());
        warnings
            .iter()
            .map(|warning| warning.verdict.to_string())
            .collect()
    }

    #[test]
    fn a_precision_that_fell_back_says_once_what_it_is() {
        assert_eq!(
            told(Precision::Q4K, "q5_0"),
            [
                "what is called q4_k is held mostly as q5_0, at 5.50 bits per weight: the model's rows are no \
              multiples of q4_k's blocks"
            ]
        );
    }

    #[test]
    fn a_precision_that_is_what_it_is_called_is_no_doubt() {
        assert_eq!(told(Precision::Q8_0, "q8_0"), [""; 0]);
        assert_eq!(told(Precision::Native, "q5_0"), [""; 0]);
    }
}
