//! Sums over series of points whose values may be missing (not finite).

/// The finite values, in order.
pub(crate) fn finite(points: &[(f64, f64)]) -> Vec<f64> {
    points.iter().map(|p| p.1).filter(|y| y.is_finite()).collect()
}

/// The least and the greatest value.
pub(crate) fn between(values: &[f64]) -> Option<(f64, f64)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(low, high), &v| (low.min(v), high.max(v))))
}

/// The value that a `share` of the values does not exceed.
pub(crate) fn percentile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}

/// Each value's mean with the finite ones among `reach` neighbours on either side, as far as there
/// are so many. A value that is not finite stays as it is.
pub(crate) fn moving_mean(points: &[(f64, f64)], reach: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0u32)];
    for (i, &(_, y)) in points.iter().enumerate() {
        let (sum, count) = sums[i];
        sums.push(if y.is_finite() { (sum + y, count + 1) } else { (sum, count) });
    }
    let mean = |(i, &(x, y)): (usize, &(f64, f64))| {
        let (first, end) = (i.saturating_sub(reach), (i + reach + 1).min(points.len()));
        let ((before, n), (after, m)) = (sums[first], sums[end]);
        let mean = if y.is_finite() { (after - before) / f64::from(m - n) } else { y };
        (x, mean)
    };
    points.iter().enumerate().map(mean).collect()
}

/// A series of at most `2 * columns` points that looks the same when drawn `columns` pixels wide:
/// the least and the greatest value of every column. A column without a finite value stays a gap.
pub(crate) fn decimate(points: &[(f64, f64)], columns: usize) -> Vec<(f64, f64)> {
    let columns = columns.max(1);
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    let mut kept = Vec::with_capacity(2 * columns);
    for bucket in points.chunks(points.len().div_ceil(columns)) {
        let drawn = || bucket.iter().enumerate().filter(|(_, p)| p.1.is_finite());
        let least = drawn().min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let most = drawn().max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        match (least, most) {
            (Some(a), Some(b)) if a.0 <= b.0 => kept.extend([*a.1, *b.1]),
            (Some(a), Some(b)) => kept.extend([*b.1, *a.1]),
            _ => kept.push(bucket[0]),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(count: usize) -> Vec<(f64, f64)> {
        (0..count).map(|i| (i as f64, ((i * i) as f64 * 0.37).sin() + 3.0)).collect()
    }

    #[test]
    fn the_moving_mean_is_the_plain_one() {
        let mut points = noisy(50);
        points[20].1 = f64::NAN;
        for reach in [0, 1, 4, 100] {
            let means = moving_mean(&points, reach);
            for i in 0..50 {
                let near = |j: &usize| j.abs_diff(i) <= reach;
                let window: Vec<_> = (0..50).filter(near).map(|j| points[j]).collect();
                let window = finite(&window);
                let mean = window.iter().sum::<f64>() / window.len() as f64;
                assert_eq!(means[i].0, points[i].0);
                assert!(if i == 20 {
                    means[i].1.is_nan()
                } else {
                    (means[i].1 - mean).abs() < 1e-12
                });
            }
        }
        assert!(moving_mean(&[], 3).is_empty());
    }

    #[test]
    fn decimation_keeps_extremes_order_and_gaps() {
        let mut points = noisy(10_000);
        points[4321].1 = 77.0;
        points[1234].1 = -77.0;
        points[6000..7000].iter_mut().for_each(|p| p.1 = f64::NAN);
        let kept = decimate(&points, 100);
        assert!(kept.len() <= 200);
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
        assert_eq!(between(&finite(&kept)), Some((-77.0, 77.0)));
        assert!(kept.iter().any(|p| p.1.is_nan()));
        assert_eq!(decimate(&points[..150], 100).len(), 150);
    }

    #[test]
    fn percentiles_and_bounds() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&values, 0.25), Some(25.0));
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(between(&values), Some((0.0, 100.0)));
        assert_eq!(between(&[]), None);
    }
}
