// On which side of a direct path a NAT is, and how people are told: a path through two was opened by punching a hole (src/router/hole-punching.ts).

/** `both`: a hole is punched. */
export type NatPlace = 'none' | 'here' | 'there' | 'both';

const WHOSE: Readonly<Record<Exclude<NatPlace, 'none'>, string>> = {
  here: 'of this host',
  there: 'of the other host',
  both: 'of both hosts',
};

/** Null: by no NAT, or not directly. */
export function throughNat(nat: NatPlace | null): string | null {
  return nat === null || nat === 'none' ? null : `direct through NAT ${WHOSE[nat]}`;
}
