// Count, mean and sum of squared deviations of a set of numbers, and those of the union of two sets
// (Chan, Golub and LeVeque 1979): no difference of large sums is ever taken.

struct Moments {
    count: f32,
    mean: f32,
    squares: f32,
}

fn merged(a: Moments, b: Moments) -> Moments {
    if b.count == 0.0 {
        return a;
    }
    let count = a.count + b.count;
    let share = b.count / count;
    let delta = b.mean - a.mean;
    return Moments(
        count,
        a.mean + delta * share,
        a.squares + b.squares + delta * delta * (a.count * share),
    );
}

fn moments_of_one(x: f32) -> Moments {
    return Moments(1.0, x, 0.0);
}

fn moments_of_four(x: vec4<f32>) -> Moments {
    let mean = x.x + dot(x - x.x, vec4(0.25));
    let deviation = x - mean;
    return Moments(4.0, mean, dot(deviation, deviation));
}
