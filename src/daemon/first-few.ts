// Lists in what people read: a problem of a thousand hosts is one line.

const NAMED_MAX = 5;

/** `a, b, c, d, e and 7 more`. */
export function firstFew(items: readonly string[]): string {
  const named = items.slice(0, NAMED_MAX).join(', ');
  return items.length > NAMED_MAX ? `${named} and ${items.length - NAMED_MAX} more` : named;
}
