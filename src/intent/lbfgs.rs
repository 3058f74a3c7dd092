//! Finds the minimum of a smooth convex function from its values and gradients.
//!
//! L-BFGS, two-loop recursion, as in Nocedal and Wright, "Numerical Optimization", 2nd edition,
//! algorithms 7.4 and 7.5, with a backtracking line search.

use std::collections::VecDeque;

/// Number of past steps from which the curvature is estimated.
const MEMORY: usize = 8;

/// Share of the predicted decrease that a step has to reach (Armijo's condition).
const SUFFICIENT_DECREASE: f64 = 1e-4;

/// Most times that a step is halved before the search ends.
const MAX_HALVINGS: usize = 30;

/// Relative decrease of a step below which the minimum counts as found.
const TOLERANCE: f64 = 1e-7;

/// A function of a point: writes its gradient there and returns its value.
pub(super) trait Objective {
    /// The error that stops a computation.
    type Error;

    /// The value at `point`; its gradient goes to `gradient`, which is as long.
    fn value(&self, point: &[f64], gradient: &mut [f64]) -> Result<f64, Self::Error>;
}

/// A step taken, and how the gradient changed along it.
struct Step {
    moved: Vec<f64>,
    turned: Vec<f64>,
    /// `1 / (moved · turned)`
    inverse_curvature: f64,
}

/// Minimises from `point` on, with at most `max_steps` steps.
pub(super) fn minimize<O: Objective>(
    objective: &O,
    mut point: Vec<f64>,
    max_steps: usize,
) -> Result<Vec<f64>, O::Error> {
    let mut gradient = vec![0.0; point.len()];
    let mut value = objective.value(&point, &mut gradient)?;
    let mut steps: VecDeque<Step> = VecDeque::new();
    let mut next_gradient = gradient.clone();
    for _ in 0..max_steps {
        let direction = descent(&gradient, &steps);
        let promised = dot(&direction, &gradient);
        let mut size = if steps.is_empty() { 1.0 / norm(&gradient).max(1.0) } else { 1.0 };
        let mut found = None;
        for _ in 0..MAX_HALVINGS {
            let candidate: Vec<f64> = point.iter().zip(&direction).map(|(x, d)| x + size * d).collect();
            let candidate_value = objective.value(&candidate, &mut next_gradient)?;
            if candidate_value <= value + SUFFICIENT_DECREASE * size * promised {
                found = Some((candidate, candidate_value));
                break;
            }
            size /= 2.0;
        }
        // The remaining decrease is below rounding.
        let Some((candidate, candidate_value)) = found else { break };
        remember(&mut steps, difference(&candidate, &point), difference(&next_gradient, &gradient));
        let decrease = value - candidate_value;
        (point, value) = (candidate, candidate_value);
        gradient.copy_from_slice(&next_gradient);
        if decrease <= TOLERANCE * value.abs().max(f64::MIN_POSITIVE) {
            break;
        }
    }
    Ok(point)
}

/// The search direction: the gradient times the inverse Hessian that `steps` approximate.
fn descent(gradient: &[f64], steps: &VecDeque<Step>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut shares = Vec::with_capacity(steps.len());
    for step in steps.iter().rev() {
        let share = step.inverse_curvature * dot(&step.moved, &direction);
        add(&mut direction, -share, &step.turned);
        shares.push(share);
    }
    if let Some(last) = steps.back() {
        let scale = 1.0 / (last.inverse_curvature * dot(&last.turned, &last.turned));
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for (step, share) in steps.iter().zip(shares.into_iter().rev()) {
        let correction = step.inverse_curvature * dot(&step.turned, &direction);
        add(&mut direction, share - correction, &step.moved);
    }
    direction
}

/// Keeps a step whose curvature is positive; a flat one says nothing about the curvature.
fn remember(steps: &mut VecDeque<Step>, moved: Vec<f64>, turned: Vec<f64>) {
    let curvature = dot(&moved, &turned);
    if curvature > f64::EPSILON * norm(&moved) * norm(&turned) {
        if steps.len() == MEMORY {
            steps.pop_front();
        }
        steps.push_back(Step { moved, turned, inverse_curvature: 1.0 / curvature });
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    for (x, y) in to.iter_mut().zip(what) {
        *x += factor * y;
    }
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Σ wᵢ (xᵢ − i)², stretched by a factor of 1000 between its axes.
    struct Valley;

    impl Objective for Valley {
        type Error = Infallible;

        fn value(&self, point: &[f64], gradient: &mut [f64]) -> Result<f64, Infallible> {
            let mut value = 0.0;
            for (i, x) in point.iter().enumerate() {
                let (weight, off) = (1000_f64.powf(i as f64 / 9.0), x - i as f64);
                value += weight * off * off;
                gradient[i] = 2.0 * weight * off;
            }
            Ok(value)
        }
    }

    /// eˣ − 2x: convex, not quadratic, minimal at ln 2.
    struct Curve;

    impl Objective for Curve {
        type Error = Infallible;

        fn value(&self, point: &[f64], gradient: &mut [f64]) -> Result<f64, Infallible> {
            let x = point[0];
            gradient[0] = x.exp() - 2.0;
            Ok(x.exp() - 2.0 * x)
        }
    }

    #[test]
    fn a_stretched_valley_is_walked_to_its_bottom() {
        let bottom = minimize(&Valley, vec![0.0; 10], 200).unwrap();
        for (i, x) in bottom.iter().enumerate() {
            assert!((x - i as f64).abs() < 1e-3, "{i}: {x}");
        }
    }

    #[test]
    fn a_start_far_off_does_not_overshoot() {
        for start in [-20.0, 0.0, 15.0] {
            let bottom = minimize(&Curve, vec![start], 200).unwrap();
            assert!((bottom[0] - 2_f64.ln()).abs() < 1e-3, "from {start}: {}", bottom[0]);
        }
    }

    #[test]
    fn no_step_allowed_is_no_step_taken() {
        assert_eq!(minimize(&Curve, vec![5.0], 0).unwrap(), [5.0]);
    }
}
