// What CNI 1.1.0 can say of a route beside destination and gateway (SPEC.md, "routes"), from a configuration to the kernel and
// into the result. Whatever is absent is the kernel's to choose.

export interface RouteAttributes {
  /** Of the path, bytes. */
  readonly mtu?: number;
  /** The largest TCP segment to tell the other end of, bytes. */
  readonly advmss?: number;
  /** Smaller wins. */
  readonly priority?: number;
  /** Number of the routing table; a route elsewhere than in main is seen by routing rules only. */
  readonly table?: number;
  /** As rtnetlink numbers it: 0 global, 253 link, 254 host. */
  readonly scope?: number;
}

/** The largest value of each that rtnetlink carries. */
export const ROUTE_ATTRIBUTES_MAX: Readonly<Record<keyof RouteAttributes, number>> = {
  mtu: 0xffff_ffff,
  advmss: 0xffff_ffff,
  priority: 0xffff_ffff,
  table: 0xffff_ffff,
  scope: 255,
};

/** Those that are given, and nothing else of the route. */
export function attributesOf(route: RouteAttributes): RouteAttributes {
  const names = Object.keys(ROUTE_ATTRIBUTES_MAX) as (keyof RouteAttributes)[];
  return Object.fromEntries(names.flatMap((name) => (route[name] === undefined ? [] : [[name, route[name]]])));
}
