//! The times between tokens, which are nearly all of a record: held in half the memory where they are short.

use either::Either;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::Nanos;

/// Times of consecutive steps. Where each is below 4.29 s, which is 2³² ns, each takes four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    held: Held,
    /// At most what 64 bits hold.
    sum: u64,
}

/// Always the short form where it can be, so that equal times are held alike.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    Short(Vec<u32>),
    Long(Vec<Nanos>),
}

impl Steps {
    /// No steps yet, with room for so many short ones.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            held: Held::Short(Vec::with_capacity(capacity)),
            sum: 0,
        }
    }

    /// Adds the next step.
    pub fn push(&mut self, step: Nanos) {
        self.sum = self.sum.saturating_add(step.value());
        match (&mut self.held, u32::try_from(step.value())) {
            (Held::Short(steps), Ok(short)) => steps.push(short),
            (Held::Short(_), Err(_)) => self.held = Held::Long(self.iter().chain([step]).collect()),
            (Held::Long(steps), _) => steps.push(step),
        }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        match &self.held {
            Held::Short(steps) => steps.len(),
            Held::Long(steps) => steps.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first one.
    pub fn first(&self) -> Option<Nanos> {
        self.iter().next()
    }

    /// All but the first.
    pub fn later(&self) -> impl ExactSizeIterator<Item = Nanos> + Clone {
        self.iter().skip(1)
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Nanos> + Clone {
        match &self.held {
            Held::Short(steps) => {
                let long = |short: &u32| Nanos::new(u64::from(*short));
                Either::Left(steps.iter().map(long))
            }
            Held::Long(steps) => Either::Right(steps.iter().copied()),
        }
    }

    /// How long they take together, at most what 64 bits hold.
    pub const fn sum(&self) -> Nanos {
        Nanos::new(self.sum)
    }
}

impl FromIterator<Nanos> for Steps {
    fn from_iter<I: IntoIterator<Item = Nanos>>(all: I) -> Self {
        let all = all.into_iter();
        let mut steps = Self::with_capacity(all.size_hint().0);
        all.for_each(|step| steps.push(step));
        steps
    }
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Nanos>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Long and short ones in any order: nothing of how they are held shows.
        #[test]
        fn steps_are_what_was_put_in(
            values in prop::collection::vec(prop_oneof![4 => 0..1u64 << 32, 1 => any::<u64>()], 0..6)
        ) {
            let values: Vec<Nanos> = values.into_iter().map(Nanos::new).collect();
            let steps: Steps = values.iter().copied().collect();
            prop_assert_eq!(steps.iter().collect::<Vec<_>>(), values.clone());
            prop_assert_eq!(steps.len(), values.len());
            prop_assert_eq!(steps.is_empty(), values.is_empty());
            prop_assert_eq!(steps.first(), values.first().copied());
            let later = values.get(1..).unwrap_or_default();
            prop_assert_eq!(steps.later().collect::<Vec<_>>(), later);

            let text = serde_json::to_string(&values).unwrap();
            prop_assert_eq!(&serde_json::to_string(&steps).unwrap(), &text);
            prop_assert_eq!(serde_json::from_str::<Steps>(&text).unwrap(), steps);
        }
    }

    #[test]
    fn one_long_step_makes_no_short_one_longer() {
        let of = |values: [u64; 3]| -> Steps { values.map(Nanos::new).into_iter().collect() };
        let limit = u64::from(u32::MAX);
        assert_eq!(of([1, u64::MAX, 2]).sum(), Nanos::new(u64::MAX));
        assert_eq!(of([1, limit, 2]).sum(), Nanos::new(limit + 3));
        assert_eq!(of([1, limit + 1, 2]).sum(), Nanos::new(limit + 4));
        assert_ne!(of([1, limit, 2]), of([1, limit + 1, 2]));
    }
}
