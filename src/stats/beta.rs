//! The beta distribution at whole and half parameters, and the posterior of a failure rate.
//!
//! The posterior steers profiling: it says how likely a candidate is to be certified soon. No
//! certificate rests on it. The quantiles also give the exact bounds of `intervals`.

use super::normal::normal_above;
use super::saddle::ln_binomial;
use super::{Probability, StatsError};

/// Jeffreys' posterior of a failure rate after `f` failures among `k` items.
///
/// It is `Beta(1/2 + f, 1/2 + k - f)` (Jeffreys 1946). It steers when profiling stops, and certifies nothing.
///
/// # Example
/// ```
/// use smart_core::stats::RatePosterior;
/// let posterior = RatePosterior::new(100, 5)?;
/// let nodes = posterior.nodes(7);
/// assert_eq!(nodes.len(), 7);
/// assert!(nodes[0] < posterior.mean() && posterior.mean() < nodes[6]);
/// # Ok::<(), smart_core::stats::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RatePosterior {
    draws: u64,
    failures: u64,
}

impl RatePosterior {
    /// After `failures` among `draws` items.
    ///
    /// # Errors
    /// [`StatsError::Counts`] for more failures than draws, or more than [`super::MAX_POPULATION`]
    /// draws.
    pub fn new(draws: u64, failures: u64) -> Result<Self, StatsError> {
        if failures > draws || draws > super::MAX_POPULATION {
            return Err(StatsError::Counts { draws, failures });
        }
        Ok(Self { draws, failures })
    }

    /// The mean rate, `(f + 1/2) / (k + 1)`.
    pub fn mean(self) -> f64 {
        (self.failures as f64 + 0.5) / (self.draws as f64 + 1.0)
    }

    /// The rate below which the posterior has probability `share`; relative error about `1e-12`.
    ///
    /// ```
    /// # use smart_core::stats::{Probability, RatePosterior};
    /// // Without data the posterior is the arcsine law, with median 1/2.
    /// let median = RatePosterior::new(0, 0)?.quantile(Probability::new(0.5)?);
    /// assert!((median - 0.5).abs() < 1e-12);
    /// # Ok::<(), smart_core::stats::StatsError>(())
    /// ```
    pub fn quantile(self, share: Probability) -> f64 {
        let (a, b) =
            (self.failures as f64 + 0.5, (self.draws.saturating_sub(self.failures)) as f64 + 0.5);
        quantile(a, b, Tail::Below(share.get()))
    }

    /// `count` equally likely rates: the quantiles at `(i + 1/2) / count`, in rising order.
    ///
    /// The middle one is found as [`quantile`](Self::quantile) finds it. Every other follows from its
    /// neighbour on the side of the middle, by a power series of the distribution around that neighbour.
    pub fn nodes(self, count: u16) -> Vec<f64> {
        let (a, b) =
            (self.failures as f64 + 0.5, (self.draws.saturating_sub(self.failures)) as f64 + 0.5);
        let share = |i: u16| (f64::from(i) + 0.5) / f64::from(count);
        let middle = count / 2;
        let mut nodes = vec![0.0; usize::from(count)];
        let mut walk = |places: &mut dyn Iterator<Item = u16>, mut from: Option<(f64, f64)>| {
            for place in places {
                let near = from.and_then(|(x, at)| further(a, b, x, share(place) - at));
                let x = near.unwrap_or_else(|| quantile(a, b, Tail::Below(share(place))));
                if let Some(node) = nodes.get_mut(usize::from(place)) {
                    *node = x;
                }
                from = Some((x, share(place)));
            }
            from
        };
        let middle_most = walk(&mut (middle..count).take(1), None);
        walk(&mut (middle..count).skip(1), middle_most);
        walk(&mut (0..middle).rev(), middle_most);
        nodes
    }
}

/// The most terms of the power series in [`further`], which converges like `(h / x)^n`.
const TERMS: usize = 40;

/// A probability and the tail it belongs to, so that small ones keep their digits on either side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    Below(f64),
    Above(f64),
}

/// `x` with the given tail of `Beta(a, b)` on its side; `a` and `b` are positive whole or half numbers.
///
/// Evaluating the distribution function dominates the cost, so few evaluations are made: two or three
/// steps of Halley's method from Paulson's start, on the logarithm of the tail, which is nearly linear
/// far out. A step turns a relative error `e` into about `e^3`, so a small step needs no check after it.
pub(super) fn quantile(a: f64, b: f64, tail: Tail) -> f64 {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    let mut x = paulson(a, b, tail);
    for _ in 0..200 {
        let (below, above, density) = distribution(a, b, x);
        // d ln density / dx
        let slope = (a - 1.0) / x - (b - 1.0) / (1.0 - x);
        let (too_high, gap, length, bend) = match tail {
            Tail::Below(want) => {
                let length = below / density;
                (below > want, (want / below).ln(), length, slope * length - 1.0)
            }
            Tail::Above(want) => {
                let length = above / density;
                (above < want, (above / want).ln(), length, slope * length + 1.0)
            }
        };
        if too_high {
            high = x;
        } else {
            low = x;
        }
        let turn = 1.0 + 0.5 * gap * bend;
        let next = x + gap * length / turn.clamp(0.5, 2.0);
        let inside = next > low && next < high;
        let next = if inside { next } else { f64::midpoint(low, high) };
        // After a small step that is purely Halley's, the next one would be about its cube.
        let scale = x.min(1.0 - x).min(length);
        let halley = inside && turn > 0.5 && turn < 2.0;
        let small = if halley { 1e-6 * scale } else { 1e-15 * x };
        let done = (next - x).abs() <= small || high - low <= 1e-16 * high;
        x = next;
        if done {
            break;
        }
    }
    x
}

/// The `x` for which a share `gap` of `Beta(a, b)` lies between `from` and `x`; `None` if the series fails.
///
/// The density `y` solves `x (1 - x) y' = (a - 1 - (a + b - 2) x) y`, hence with `y(from + h) = sum c_n h^n`
///
/// ```text
/// from (1 - from) (n + 1) c_{n+1} = (a - 1 - (a + b - 2) from - (1 - 2 from) n) c_n + (n - 1 - (a + b - 2)) c_{n-1}
/// ```
fn further(a: f64, b: f64, from: f64, gap: f64) -> Option<f64> {
    let (x, y, n) = (from, 1.0 - from, a + b);
    let density = ln_binomial(n, a, x, y).exp() * a * b / n / (x * y);
    // In units of about the distance to go, so that terms neither overflow nor underflow.
    let unit = gap / density;
    let (first, second) = (a - 1.0 - (n - 2.0) * x, 1.0 - 2.0 * x);
    let mut terms = [0.0; TERMS];
    let (mut before, mut last, mut used) = (0.0_f64, gap, 0);
    for term in &mut terms {
        let at = used as f64;
        // c_n unit^(n + 1) / (n + 1): this term's contribution to the share.
        *term = last / (at + 1.0);
        used += 1;
        if last.abs().max(before.abs()) <= 1e-18 {
            break;
        }
        let next = (unit * (first - second * at) * last + unit * unit * (at - n + 1.0) * before)
            / (x * y * (at + 1.0));
        (before, last) = (last, next);
    }
    let terms = terms.get(..used)?;
    // Newton's method for `t = h / unit`, started from the inverse of the first three terms.
    let [_, bend, twist, ..] = *terms else { return None };
    let (bend, twist) = (bend / gap, twist / gap);
    let mut t = 1.0 - bend + 2.0 * bend * bend - twist;
    for _ in 0..8 {
        let (mut share, mut slope) = (0.0, 0.0);
        for (place, term) in terms.iter().enumerate().rev() {
            share = (share + term) * t;
            slope = slope * t + term * (place as f64 + 1.0);
        }
        let step = (gap - share) / slope;
        t += step;
        if step.abs() <= 1e-9 {
            // The next step would be about the square of this one. The series must have converged as well.
            let [.., almost, end] = terms else { return None };
            let died = (almost.abs() + end.abs()) * t.powf(used as f64) <= 1e-16;
            return (died && t > 0.0).then_some(x + t * unit);
        }
    }
    None
}

/// A start for the quantile, from Paulson's cube-root transform (1942), which is nearly normal.
fn paulson(a: f64, b: f64, tail: Tail) -> f64 {
    let z = match tail {
        Tail::Below(share) if share <= 0.5 => -normal_above(share.ln()),
        Tail::Below(share) => normal_above((1.0 - share).ln()),
        Tail::Above(share) if share <= 0.5 => normal_above(share.ln()),
        Tail::Above(share) => -normal_above((1.0 - share).ln()),
    };
    let (p, q) = (1.0 / (9.0 * a), 1.0 / (9.0 * b));
    let square = (1.0 - q).powi(2) - z * z * q;
    let (linear, rest) = ((1.0 - p) * (1.0 - q), (1.0 - p).powi(2) - z * z * p);
    let root = (linear * linear - square * rest).max(0.0).sqrt();
    let ratio = ((linear + root.copysign(z)) / square).powi(3);
    let x = a * ratio / (a * ratio + b);
    if x > 0.0 && x < 1.0 { x } else { a / (a + b) }
}

/// `(I_x(a, b), 1 - I_x(a, b), density)` of the beta distribution.
pub(super) fn distribution(a: f64, b: f64, x: f64) -> (f64, f64, f64) {
    let (n, y) = (a + b, 1.0 - x);
    // x^a y^b / B(a, b) = b(n, a; x) a b / n, and the saddle-point form needs no ln B.
    let front = ln_binomial(n, a, x, y).exp() * a * b / n;
    let density = front / (x * y);
    if x < (a + 1.0) / (n + 2.0) {
        let below = (front * fraction(a, b, x) / a).min(1.0);
        (below, 1.0 - below, density)
    } else {
        let above = (front * fraction(b, a, y) / b).min(1.0);
        (1.0 - above, above, density)
    }
}

/// The continued fraction of the incomplete beta function (Didonato and Morris 1992 give its
/// convergence), by Lentz's method.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    let mut m = 1.0;
    // About sqrt(max(a, b)) rounds are needed near the mean, and fewer elsewhere.
    while m < 200_000.0 {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let change = d * c;
        h *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
        m += 1.0;
    }
    h
}

#[cfg(test)]
mod tests {
    use super::super::binomial::ln_upper_tail;
    use super::*;

    #[test]
    fn whole_parameters_are_binomial_tails() {
        for (n, x, p) in
            [(10_u64, 3_u64, 0.2), (500, 20, 0.05), (100_000, 4_900, 0.05), (40, 40, 0.9)]
        {
            let (a, b) = (x as f64, (n - x + 1) as f64);
            let (below, above, _) = distribution(a, b, p);
            let want = ln_upper_tail(n, p, x).exp();
            assert!((below / want - 1.0).abs() < 1e-11, "{n} {x} {p}: {below} {want}");
            assert!((above - (1.0 - want)).abs() < 1e-12);
        }
    }

    #[test]
    fn nodes_are_quantiles() {
        for (k, f) in
            [(0, 0), (3, 3), (30, 0), (30, 1), (100, 5), (100, 95), (700, 40), (1_000_000, 60_000)]
        {
            let posterior = RatePosterior::new(k, f).unwrap();
            for count in [1_u16, 2, 7, 9, 40] {
                for (i, node) in (0..).zip(posterior.nodes(count)) {
                    let share = (f64::from(i) + 0.5) / f64::from(count);
                    let want = posterior.quantile(Probability::new(share).unwrap());
                    assert!((node / want - 1.0).abs() < 1e-12, "{k} {f} {share}: {node} {want}");
                }
            }
        }
    }

    #[test]
    fn quantiles_invert_the_distribution() {
        for (k, f) in
            [(0, 0), (1, 1), (30, 0), (100, 5), (5_000, 250), (1_000_000, 3), (2_000_000, 900_000)]
        {
            let posterior = RatePosterior::new(k, f).unwrap();
            let (a, b) = (f as f64 + 0.5, (k - f) as f64 + 0.5);
            for share in [1e-6, 0.05, 0.5, 0.9, 0.999] {
                let x = posterior.quantile(Probability::new(share).unwrap());
                let (below, above, _) = distribution(a, b, x);
                assert!((below / share - 1.0).abs() < 1e-9, "{k} {f} {share}: {x} {below}");
                assert!((above / (1.0 - share) - 1.0).abs() < 1e-9);
            }
        }
    }
}
