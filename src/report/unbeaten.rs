//! What no other thing beats in both of two ways.

/// Those that none beats, in their order; `losses` are two numbers of which less is better. One beats
/// another where it loses no more in either way, and less in one.
pub(super) fn unbeaten<T>(all: &[T], losses: impl Fn(&T) -> (f64, f64)) -> Vec<&T> {
    let beats = |(a, b): (f64, f64), (x, y): (f64, f64)| a <= x && b <= y && (a < x || b < y);
    let beaten = |one: &&T| all.iter().any(|other| beats(losses(other), losses(one)));
    all.iter().filter(|one| !beaten(one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_stay_and_what_is_worse_in_one_way_goes() {
        let all = [(1.0, 3.0), (2.0, 3.0), (2.0, 2.0), (2.0, 2.0), (3.0, 1.0)];
        let kept = unbeaten(&all, |one| *one);
        assert_eq!(kept, [&all[0], &all[2], &all[3], &all[4]]);
    }
}
