// 1 - exp(x) for x of at most 0, to a few units in the last place also where exp(x) is near 1: the
// difference would lose what the rounding of exp(x) took.

fn one_minus_exp(x: f32) -> f32 {
    if x < -0.5 {
        return 1.0 - exp(x);
    }
    // The power series of (exp(x) - 1) / x, whose next term is below 2^-8 / 9!.
    var series = 1.0;
    for (var n = 8u; n > 1u; n--) {
        series = 1.0 + series * x / f32(n);
    }
    return -x * series;
}
