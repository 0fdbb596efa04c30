// The few figures that a handful of runs allows. Pure.

export interface Summary {
  readonly min: number;
  readonly median: number;
  readonly max: number;
  /** In the order of the runs. */
  readonly values: readonly number[];
}

/** Of at least one value. The median of an even number of values is the mean of the middle two. */
export function summarize(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('there is no median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
  return { min: sorted[0]!, median, max: sorted[sorted.length - 1]!, values };
}

export interface Ratio {
  /** Geometric mean of the pairs' quotients. */
  readonly estimate: number;
  /** Ends of its 95 % confidence interval. */
  readonly low: number;
  readonly high: number;
}

/** 97.5 % points of Student's t distribution with 1, 2, … degrees of freedom. */
const T_975 = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];
export const T_PAIRS_MAX = T_975.length + 1;

/** Of 2 to {@link T_PAIRS_MAX} pairs that were measured side by side, the first of each over the second. Both are positive. */
export function estimateRatio(pairs: readonly (readonly [number, number])[]): Ratio {
  const quantile = T_975[pairs.length - 2];
  if (quantile === undefined) throw new RangeError(`${pairs.length} pairs are not 2 to ${T_PAIRS_MAX}`);
  const logs = pairs.map(([of, by]) => Math.log(of / by));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const variance = logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / (logs.length - 1);
  const half = quantile * Math.sqrt(variance / logs.length);
  return { estimate: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) };
}
