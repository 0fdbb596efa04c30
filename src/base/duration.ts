// Times as people write them: a number with a unit, 90s, 30m, 24h, 7d.

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

export const DAY_MS = UNITS_MS.d;

/** Milliseconds; null for any other text. */
export function parseDurationMs(text: string): number | null {
  const match = /^(\d{1,6})([smhd])$/.exec(text);
  return match === null ? null : Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS];
}
