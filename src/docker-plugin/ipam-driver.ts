// Docker's IPAM driver (libnetwork docs/ipam.md): pools are parts of a fabric network's range, addresses come from this host's
// leases. An address carries the prefix length of the whole network, whatever the subnet, because all of it is on the link; the
// gateway is the network's on every host and is never allocated.

import { cidrHasIp, formatCidr, parseIp } from '../base/address.ts';
import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME } from '../base/ids.ts';
import type { FabricNetwork } from './backend.ts';
import type { HeldAddresses } from './held-addresses.ts';
import { addressOf, type Fields, fieldsOf, flagOf, textOf } from './messages.ts';
import { choosePool, type Pool, poolId, readPoolId, UNCHECKED_SUBNET } from './pools.ts';

/** A label of Docker's: the key of a pool's data that names its gateway, and the kind of address that the gateway is. */
const GATEWAY_LABEL = 'com.docker.network.gateway';

export interface IpamDriverPorts {
  /** Throws `network-unknown` when there is none of that name. */
  network(name: string): FabricNetwork;
  readonly held: HeldAddresses;
}

export class IpamDriver {
  readonly #ports: IpamDriverPorts;

  constructor(ports: IpamDriverPorts) {
    this.#ports = ports;
  }

  requestPool(body: Fields): object {
    const options = fieldsOf(body.Options, 'Options');
    const network = this.#ports.network(textOf(options, 'network') || DEFAULT_NETWORK_NAME);
    const isIpv6 = flagOf(body, 'V6');
    const subnet = textOf(body, 'Pool');
    const pool = choosePool(network, { subnet, ipRange: textOf(body, 'SubPool'), isIpv6 });
    return {
      PoolID: poolId(pool),
      Pool: subnet === '' && !isIpv6 ? UNCHECKED_SUBNET : formatCidr(pool.subnet),
      Data: { [GATEWAY_LABEL]: withPrefix(gatewayOf(pool), pool) },
    };
  }

  async requestAddress(body: Fields, cancelled: AbortSignal): Promise<object> {
    const pool = this.#pool(body);
    const wanted = addressOf(body, 'Address');
    if (textOf(fieldsOf(body.Options, 'Options'), 'RequestAddressType') === GATEWAY_LABEL) {
      const gateway = gatewayOf(pool);
      if (wanted === null || wanted === gateway) return { Address: withPrefix(gateway, pool) };
      throw new FabricError('address-invalid', {
        what: `${wanted} can't be the gateway`,
        why: `the network ${pool.network.name} has ${gateway} on every host`,
        fix: 'Leave --gateway out',
      });
    }
    if (wanted !== null && !cidrHasIp(pool.subnet, parseIp(wanted)!)) {
      throw new FabricError('address-invalid', { what: `${wanted} is not within ${formatCidr(pool.subnet)}` });
    }
    const request = { network: pool.network.name, pool: pool.choice, wanted };
    return { Address: withPrefix(await this.#ports.held.request(request, cancelled), pool) };
  }

  releaseAddress(body: Fields): object {
    const { networkName: network } = readPoolId(textOf(body, 'PoolID')); // which may be gone
    const ip = addressOf(body, 'Address');
    if (ip !== null) this.#ports.held.release({ network, ip });
    return {};
  }

  #pool(body: Fields): Pool {
    const { networkName, ...blocks } = readPoolId(textOf(body, 'PoolID'));
    return { network: this.#ports.network(networkName), ...blocks };
  }
}

function gatewayOf({ network, subnet }: Pool): string {
  const gateway = subnet.family === 4 ? network.gateway : network.gateway6;
  if (gateway !== null) return gateway;
  throw new FabricError('address-invalid', { what: `the network ${network.name} has no IPv6` });
}

function withPrefix(ip: string, { network, subnet }: Pool): string {
  const whole = subnet.family === 4 ? network.range : network.range6;
  return `${ip}/${whole?.prefix ?? subnet.prefix}`;
}
