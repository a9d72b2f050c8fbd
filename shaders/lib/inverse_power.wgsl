// s to the power -beta for positive s. Local response normalisation is made with beta = 0.75 more
// often than not, and roots are faster and closer than the general power.

fn inverse_power(s: f32, beta: f32) -> f32 {
    if beta == 0.75 {
        let r = inverseSqrt(s);
        return r * sqrt(r);
    }
    if beta == 0.5 {
        return inverseSqrt(s);
    }
    if beta == 1.0 {
        return 1.0 / s;
    }
    return exp2(-beta * log2(s));
}
