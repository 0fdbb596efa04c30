// Reports of multicast listeners (MLD, RFC 3810) as far as they disturb. Each new container sends four, which the bridge, having no
// snooping, floods to all others: with a thousand attached, several milliseconds of the machine's time each. Only multicast routers
// want them, and a router asks (RFC 3810 §7). So a report stops where it enters, unless a query crossed one of our bridges
// lately; where reports go to routers only, RFC 4541 §2.1.1 has switches do the same.

/** Counts from the last query on: as long as routers themselves wait for one of the other (RFC 3810 §9.5). */
const OTHER_QUERIER_PRESENT_S = 255;

/** A flag that times out, made of what nftables has: its one key is the EtherType of IPv6. */
const QUERIED = 'mld_queried';
export const QUERIED_SET = `${QUERIED} { type ether_type; flags dynamic,timeout; timeout ${OTHER_QUERIER_PRESENT_S}s; }`;

const REPORT_TYPES = 'icmpv6 type { mld-listener-report, mld-listener-reduction, mld2-listener-report }';

export const DROP_UNASKED_REPORTS = `${REPORT_TYPES} ether type != @${QUERIED} counter drop`;
export const NOTE_QUERY = `icmpv6 type mld-listener-query update @${QUERIED} { ether type }`;
