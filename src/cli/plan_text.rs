//! A plan as it is printed: memory by variant and by point, time and money.

use serde::Serialize;

use super::args::StudyArgs;
use super::output;
use super::pricing::Priced;
use crate::report::section::{Align, Table};
use crate::report::terminal::aligned;
use crate::study::plan::duration::Span;
use crate::study::plan::footprint::binary;
use crate::study::plan::speed::{Origin, Speed};
use crate::study::plan::weights::{self, Group};
use crate::study::plan::{Machine, Plan, PlannedPoint, VariantMemory};
use crate::study::spec::Study;
use crate::study::variant::Variant;
use crate::units::{Hours, Usd};

/// What stands where there is nothing to say.
const ABSENT: &str = "—";

/// A plan with what is said of it.
#[derive(Debug, Serialize)]
pub(super) struct Told<'a> {
    schema: u32,
    model: &'a str,
    memory_bytes: u64,
    plan: &'a Plan,
    basis: String,
    usd_low: Option<Usd>,
    usd_high: Option<Usd>,
    notes: Vec<String>,
    #[serde(skip)]
    priced: &'a Priced,
}

impl<'a> Told<'a> {
    /// What is said of a plan for this machine.
    pub(super) fn new(model: &'a str, plan: (&'a Plan, Machine), priced: &'a Priced) -> Self {
        let (plan, machine) = plan;
        let cost = |hours| Some(priced.price.as_ref()?.usd_per_hour * hours);
        Self {
            schema: 1,
            model,
            memory_bytes: machine.memory.value() as u64,
            basis: basis(machine.speed),
            usd_low: cost(plan.duration.low),
            usd_high: cost(plan.duration.high),
            notes: Vec::new(),
            plan,
            priced,
        }
    }

    /// With what the estimate leaves out, and what the time asked for leaves out.
    pub(super) fn noting(mut self, study: &Study, args: &StudyArgs) -> Self {
        let quality = study.quality.as_ref();
        self.notes.extend(quality.map(|_| {
            "the [quality] table is judged first; its time depends on the text and is not in the estimate"
                .to_owned()
        }));
        self.notes.extend(out_of_time(self.plan, args));
        self
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}\n\nweights\n{}\npoints, of {} of memory\n{}\n{}",
            output::printable(self.model),
            aligned(&variants(self.plan)),
            binary(self.memory_bytes),
            aligned(&points(self.plan)),
            self.expected()
        );
        for note in &self.notes {
            text += &format!("note: {note}\n");
        }
        text
    }

    /// How long it may take and for how much.
    fn expected(&self) -> String {
        let Span { low, high } = self.plan.duration;
        let (span, basis) = (minutes(self.plan.duration), &self.basis);
        let mut text = format!("expected: {span} ({basis})\n");
        if let Some(price) = &self.priced.price {
            let cost = |hours: Hours| dollars((price.usd_per_hour * hours).value());
            text += &format!(
                "          {} USD at {} USD per hour, {}\n",
                range(&cost(low), &cost(high)),
                price.usd_per_hour.value(),
                output::printable(&price.label)
            );
        }
        text
    }
}

/// What the expected time rests on.
fn basis(speed: Option<Speed>) -> String {
    let Some(speed) = speed else {
        return "the machine's speed is not known: from the fewest blocks to all the time that points may take"
            .to_owned();
    };
    match speed.origin {
        Origin::Known => "an estimate from the roofline, not a measurement".to_owned(),
        Origin::Assumed => format!(
            "an estimate from the roofline of an assumed CPU, {:.0} GB/s and {:.0} GFLOP/s, not a measurement",
            speed.read.value() / 1e9,
            speed.matmul.value() / 1e9
        ),
    }
}

/// That the time asked for is shorter than the plan, and what makes a plan shorter.
pub(super) fn out_of_time(plan: &Plan, args: &StudyArgs) -> Option<String> {
    let asked = args.max_minutes?;
    let needed = plan.duration.low.seconds().value() / 60.0;
    (needed > asked).then(|| {
        format!(
            "--max-minutes {asked} is less than the {} that the plan needs, and points that do not \
             fit into it are skipped; shorten the lists of [sweep], or lower measure.launches, \
             measure.min_blocks or measure.max_seconds",
            minutes(plan.duration)
        )
    })
}

/// Whole minutes, the last one begun.
fn minutes(Span { low, high }: Span) -> String {
    let whole = |hours: Hours| format!("{:.0}", (hours.seconds().value() / 60.0).ceil());
    let count = range(&whole(low), &whole(high));
    let unit = if count == "1" { "minute" } else { "minutes" };
    format!("{count} {unit}")
}

/// Dollars to the cent; less than one to a hundredth of it.
fn dollars(amount: f64) -> String {
    if amount < 0.01 {
        format!("{amount:.4}")
    } else {
        format!("{amount:.2}")
    }
}

/// A range, or one number where both its ends show the same.
fn range(low: &str, high: &str) -> String {
    if low == high {
        low.to_owned()
    } else {
        format!("{low} to {high}")
    }
}

/// The weights of each variant by group of tensors, and what a token adds to its cache.
fn variants(plan: &Plan) -> Table {
    let groups = groups(plan);
    let mut table = Table::new([("precision", Align::Left)]);
    for group in &groups {
        table.column(group.name().to_owned());
    }
    table.column("in all".to_owned());
    table.column("KV cache per token".to_owned());
    for variant in &plan.variants {
        table.rows.push(variant_row(variant, &groups));
    }
    table
}

/// Groups of which a variant has tensors, in the order of a forward pass.
fn groups(plan: &Plan) -> Vec<Group> {
    let tensors = || plan.variants.iter().flat_map(|variant| &variant.tensors);
    let present = |group: &Group| tensors().any(|tensor| tensor.group == *group);
    Group::ALL.into_iter().filter(present).collect()
}

fn variant_row(memory: &VariantMemory, groups: &[Group]) -> Vec<String> {
    let bytes = weights::by_group(&memory.tensors);
    let variant = Variant {
        precision: memory.precision,
        kv: memory.kv,
    };
    let mut cells = vec![variant.to_string()];
    cells.extend(
        groups
            .iter()
            .map(|group| optional(bytes.get(group).copied())),
    );
    cells.push(binary(memory.weight_bytes));
    cells.push(binary(memory.kv_bytes_per_token));
    cells
}

fn points(plan: &Plan) -> Table {
    use Align::{Left, Right};
    let mut table = Table::new([
        ("point", Left),
        ("weights", Right),
        ("KV cache", Right),
        ("activations", Right),
        ("in all", Right),
        ("left", Right),
        ("outcome", Left),
    ]);
    table.rows.extend(plan.points.iter().map(point_row));
    table
}

fn point_row(planned: &PlannedPoint) -> Vec<String> {
    let memory = planned.memory;
    let outcome = planned.skip.as_ref().map_or_else(
        || "runs".to_owned(),
        |skip| format!("skipped: {}", skip.reason),
    );
    vec![
        planned.point.to_string(),
        binary(memory.weight_bytes),
        binary(memory.kv_bytes),
        binary(memory.activation_bytes),
        binary(memory.total()),
        optional(planned.left_bytes),
        outcome,
    ]
}

fn optional(bytes: Option<u64>) -> String {
    bytes.map_or(ABSENT.to_owned(), binary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Seconds;

    #[test]
    fn a_range_whose_ends_show_the_same_is_one_number() {
        let between = |low: f64, high: f64| {
            let hours = |seconds: f64| Seconds::new(seconds).hours();
            minutes(Span {
                low: hours(low),
                high: hours(high),
            })
        };
        assert_eq!(between(10.0, 50.0), "1 minute");
        assert_eq!(between(61.0, 119.0), "2 minutes");
        assert_eq!(between(61.0, 121.0), "2 to 3 minutes");
    }

    #[test]
    fn a_run_for_less_than_a_cent_is_not_free() {
        assert_eq!(dollars(0.001_68), "0.0017");
        assert_eq!(dollars(0.294), "0.29");
    }
}
