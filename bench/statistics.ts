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
