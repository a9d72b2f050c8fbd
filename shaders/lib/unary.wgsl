// Functions of one number and their derivatives, on four numbers at a time. The shader that imports
// this declares FUNCTION, a compile-time constant, so that the branches cost nothing; a and b are
// the function's parameters. derivative() takes y = f(x) or x, as the table says:
//    0  relu         y  max(x, 0)
//    1  leaky_relu   y  x > 0 ? x : a x                   (from x or from y, which has x's sign)
//    2  sigmoid      y  1 / (1 + exp(-x))
//    3  tanh         y  tanh(x)
//    4  elu, selu    y  b (x > 0 ? x : a (exp(x) - 1))
//    5  silu         x  x sigmoid(x)
//    6  gelu         x  x (1 + erf(x / sqrt(2))) / 2
//    7  gelu_tanh    x  x (1 + tanh(a (x + b x^3))) / 2
//    8  softplus     x  a x > b ? x : log(1 + exp(a x)) / a
//    9  hardsigmoid  y  clamp(x / 6 + 1 / 2, 0, 1)
//   10  hardswish    x  x clamp(x / 6 + 1 / 2, 0, 1)
//   11  clamp        y  clamp(x, a, b)
//   12  exp          y  exp(x)
//   13  log          x  log(x)
//   14  sqrt         y  sqrt(x)
//   15  square       x  x^2
//   16  abs          x  |x|
//   17  reciprocal   y  1 / x
//   18  power        x  x^a
//   19  affine       -  a x + b
// exp is only ever taken of what cannot overflow, but where the function itself is exp.

// exp(x) - 1 for x <= 0, close to 0 by its series: the difference would cancel.
fn exp_minus_1(x: vec4<f32>) -> vec4<f32> {
    let s = max(x, vec4(-0.4));
    var sum = 1.0 + s / 8.0;
    sum = 1.0 + s / 7.0 * sum;
    sum = 1.0 + s / 6.0 * sum;
    sum = 1.0 + s / 5.0 * sum;
    sum = 1.0 + s / 4.0 * sum;
    sum = 1.0 + s / 3.0 * sum;
    sum = 1.0 + s / 2.0 * sum;
    return select(exp(min(x, vec4(0.0))) - 1.0, s * sum, x > vec4(-0.4));
}

// log(1 + e) for 0 <= e <= 1, for small e by its series.
fn log_plus_1(e: vec4<f32>) -> vec4<f32> {
    let s = min(e, vec4(0.1));
    var sum = 1.0 / 7.0 - s / 8.0;
    sum = 1.0 / 6.0 - s * sum;
    sum = 1.0 / 5.0 - s * sum;
    sum = 1.0 / 4.0 - s * sum;
    sum = 1.0 / 3.0 - s * sum;
    sum = 1.0 / 2.0 - s * sum;
    return select(log(1.0 + e), s * (1.0 - s * sum), e < vec4(0.1));
}

fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}

// The builtin may be off by much more than its last place, and overflows in some drivers.
fn accurate_tanh(x: vec4<f32>) -> vec4<f32> {
    let m = exp_minus_1(-2.0 * min(abs(x), vec4(20.0)));
    return sign(x) * (-m / (2.0 + m));
}

// 1 - erf(z) for z >= 0, to a relative error of 1.2e-7 (Press et al., "Numerical Recipes", erfcc).
fn complementary_error(z: vec4<f32>) -> vec4<f32> {
    let t = 1.0 / (1.0 + 0.5 * z);
    var sum = -0.82215223 + t * 0.17087277;
    sum = 1.48851587 + t * sum;
    sum = -1.13520398 + t * sum;
    sum = 0.27886807 + t * sum;
    sum = -0.18628806 + t * sum;
    sum = 0.09678418 + t * sum;
    sum = 0.37409196 + t * sum;
    sum = 1.00002368 + t * sum;
    return t * exp(-z * z - 1.26551223 + t * sum);
}

// P(X <= x) for a standard normal X. Beyond 20 it is 0 or 1.
fn normal_probability(x: vec4<f32>) -> vec4<f32> {
    let tail = 0.5 * complementary_error(min(abs(x), vec4(20.0)) * 0.70710678);
    return select(tail, 1.0 - tail, x >= vec4(0.0));
}

fn normal_density(x: vec4<f32>) -> vec4<f32> {
    let c = min(abs(x), vec4(20.0));
    return 0.39894228 * exp(-0.5 * c * c);
}

// x^p; of negative numbers for whole p.
fn power(x: vec4<f32>, p: f32) -> vec4<f32> {
    if p == 0.0 {
        return vec4(1.0);
    }
    let size = abs(x);
    let p_of_size = exp2(p * log2(max(size, vec4(1e-38))));
    let odd = p - 2.0 * floor(p / 2.0) == 1.0;
    let signed = select(p_of_size, -p_of_size, (x < vec4(0.0)) & vec4(odd));
    if p > 0.0 {
        return select(vec4(0.0), signed, size > vec4(0.0));
    }
    return select(1.0 / size, signed, size > vec4(0.0));
}

fn value(x: vec4<f32>, a: f32, b: f32) -> vec4<f32> {
    let zero = vec4(0.0);
    switch FUNCTION {
        case 1u: {
            return select(a * x, x, x > zero);
        }
        case 2u: {
            return sigmoid(x);
        }
        case 3u: {
            return accurate_tanh(x);
        }
        case 4u: {
            return b * select(a * exp_minus_1(min(x, zero)), x, x > zero);
        }
        case 5u: {
            return x * sigmoid(x);
        }
        case 6u: {
            return x * normal_probability(x);
        }
        case 7u: {
            let c = clamp(x, vec4(-20.0), vec4(20.0));
            return x * sigmoid(2.0 * a * (c + b * c * c * c));
        }
        case 8u: {
            let z = a * x;
            let smooth_value = (max(z, zero) + log_plus_1(exp(-abs(z)))) / a;
            return select(smooth_value, x, z > vec4(b));
        }
        case 9u: {
            return clamp(x / 6.0 + 0.5, zero, vec4(1.0));
        }
        case 10u: {
            return x * clamp(x / 6.0 + 0.5, zero, vec4(1.0));
        }
        case 11u: {
            return clamp(x, vec4(a), vec4(b));
        }
        case 12u: {
            return exp(x);
        }
        case 13u: {
            return log(x);
        }
        case 14u: {
            return sqrt(x);
        }
        case 15u: {
            return x * x;
        }
        case 16u: {
            return abs(x);
        }
        case 17u: {
            return 1.0 / x;
        }
        case 18u: {
            return power(x, a);
        }
        case 19u: {
            return a * x + b;
        }
        default: {
            return max(x, zero);
        }
    }
}

// The derivative at x, from `kept`: y = f(x) or x.
fn derivative(kept: vec4<f32>, a: f32, b: f32) -> vec4<f32> {
    let zero = vec4(0.0);
    let one = vec4(1.0);
    switch FUNCTION {
        case 1u: {
            return select(vec4(a), one, kept > zero);
        }
        case 2u: {
            return kept * (1.0 - kept);
        }
        case 3u: {
            return (1.0 - kept) * (1.0 + kept);
        }
        case 4u: {
            return select(kept + a * b, vec4(b), kept > zero);
        }
        case 5u: {
            let s = sigmoid(kept);
            return s * (1.0 + kept * sigmoid(-kept));
        }
        case 6u: {
            return normal_probability(kept) + kept * normal_density(kept);
        }
        case 7u: {
            let c = clamp(kept, vec4(-20.0), vec4(20.0));
            let u = 2.0 * a * (c + b * c * c * c);
            let s = sigmoid(u);
            return s + c * s * sigmoid(-u) * (2.0 * a * (1.0 + 3.0 * b * c * c));
        }
        case 8u: {
            let z = a * kept;
            return select(sigmoid(z), one, z > vec4(b));
        }
        case 9u: {
            return select(zero, vec4(1.0 / 6.0), (kept > zero) & (kept < one));
        }
        case 10u: {
            let ramp = select(kept / 3.0 + 0.5, one, kept >= vec4(3.0));
            return select(ramp, zero, kept <= vec4(-3.0));
        }
        case 11u: {
            return select(zero, one, (kept > vec4(a)) & (kept < vec4(b)));
        }
        case 12u: {
            return kept;
        }
        case 13u: {
            return 1.0 / kept;
        }
        case 14u: {
            return 0.5 / kept;
        }
        case 15u: {
            return 2.0 * kept;
        }
        case 16u: {
            return sign(kept);
        }
        case 17u: {
            return -kept * kept;
        }
        case 18u: {
            if a == 0.0 {
                return zero;
            }
            return a * power(kept, a - 1.0);
        }
        case 19u: {
            return vec4(a);
        }
        default: {
            return select(zero, one, kept > zero);
        }
    }
}
