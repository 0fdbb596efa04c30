// Routes in configurations and results: destination, gateway, and since CNI 1.1.0 MTU, advertised segment size, priority, table and
// scope. Read in every version, because a configuration may be newer than the version that the runtime speaks; written to those
// runtimes only that know them.

import { formatIp, parseCidr, parseIp } from '../base/address.ts';
import { attributesOf, ROUTE_ATTRIBUTES_MAX, type RouteAttributes } from '../base/route-attributes.ts';
import type { SetRoute, WantedRoute } from './backend.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import type { JsonFields } from './json-fields.ts';
import { atLeast, type CniVersion } from './version.ts';

/** Ours. */
const ROUTES_MAX = 256;
/** The `routes` array of an object, canonical. Throws CniError 7. */
export function readRoutes(fields: JsonFields): readonly WantedRoute[] {
  const routes = fields.objects('routes');
  if (routes.length > ROUTES_MAX) throw new CniError(CNI_CODE.config, `more than ${ROUTES_MAX} routes`);
  return routes.map((route) => {
    const dst = route.string('dst') ?? '';
    const gw = route.string('gw') ?? '';
    const target = parseCidr(dst);
    if (target === null)
      throw new CniError(CNI_CODE.config, `${route.place}.dst is no CIDR block`, JSON.stringify(dst));
    const attributes = readAttributes(route);
    if (gw === '') return { dst, gw: null, ...attributes };
    const gateway = parseIp(gw);
    if (gateway?.family !== target.family) {
      throw new CniError(CNI_CODE.config, `${route.place}.gw is no gateway for ${dst}`, JSON.stringify(gw));
    }
    return { dst, gw: formatIp(gateway), ...attributes };
  });
}

/** A route as results of that version have it. */
export function formatRoute(version: CniVersion, route: WantedRoute | SetRoute): Readonly<Record<string, unknown>> {
  const { dst, gw } = route;
  return {
    dst,
    ...(gw === null ? {} : { gw }),
    ...(atLeast(version, '1.1.0') ? attributesOf(route) : {}),
  };
}

/** Zero of an MTU, a segment size or a priority means what absent means, as in the reference plugins. */
function readAttributes(route: JsonFields): RouteAttributes {
  const given = Object.entries(ROUTE_ATTRIBUTES_MAX).flatMap(([name, most]) => {
    const value = route.count(name);
    if (value === null || (value === 0 && name !== 'table' && name !== 'scope')) return [];
    if (value > most) throw new CniError(CNI_CODE.config, `${route.place}.${name} is more than ${most}`, String(value));
    return [[name, value] as const];
  });
  return Object.fromEntries(given);
}
