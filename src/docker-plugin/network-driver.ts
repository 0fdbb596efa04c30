// Docker's network driver (libnetwork docs/remote.md) of local scope: the daemons of two hosts know nothing of each other's
// networks; what joins them is the name of the fabric network. Each endpoint is one attachment: its interface is made when
// the endpoint is, and Docker moves it into the container; the driver never opens the container's namespace. The answer to
// Join names a gateway, so that Docker adds no docker_gwbridge.

import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME } from '../base/ids.ts';
import type { DockerBackend, Endpoint, FabricNetwork } from './backend.ts';
import type { DockerNetwork, DockerNetworks } from './docker-networks.ts';
import type { HeldAddresses } from './held-addresses.ts';
import { addressOf, type Fields, fieldsOf, flagOf, idOf, listOf, macOf, textOf, textsOf } from './messages.ts';
import { refuseForeignSubnet } from './pools.ts';

const OPTIONS_LABEL = 'com.docker.network.generic';
const INTERNAL_LABEL = 'com.docker.network.internal';
const PORT_MAP_LABEL = 'com.docker.network.portmap';
/** Options of `docker network create -o` that we know. */
const KNOWN_OPTIONS: readonly string[] = ['network'];
/** With as much of the endpoint's id behind it as an interface's name may have. */
const IFNAME_PREFIX = 'fabd';
const IFNAME_CHARS_MAX = 15;
/** Interfaces of a container are called so, with a number behind. */
const CONTAINER_IFNAME = 'eth';

export interface NetworkDriverPorts {
  /** Throws `usage` when there is none of that name. */
  network(name: string): FabricNetwork;
  readonly networks: DockerNetworks;
  readonly held: HeldAddresses;
  readonly endpoints: DockerBackend['endpoints'];
}

export class NetworkDriver {
  readonly #ports: NetworkDriverPorts;

  constructor(ports: NetworkDriverPorts) {
    this.#ports = ports;
  }

  createNetwork(body: Fields): object {
    const options = fieldsOf(body.Options, 'Options');
    const generic = fieldsOf(options[OPTIONS_LABEL], OPTIONS_LABEL);
    const unknown = Object.keys(generic).filter((key) => !KNOWN_OPTIONS.includes(key));
    if (unknown.length > 0) {
      throw new FabricError('usage', {
        what: `fabric knows no option ${unknown.join(', ')}`,
        fix: '-o network=NAME names the fabric network',
      });
    }
    const network = this.#ports.network(textOf(generic, 'network') || DEFAULT_NETWORK_NAME);
    const pools = [...listOf(body, 'IPv4Data'), ...listOf(body, 'IPv6Data')];
    for (const pool of pools) refuseForeignSubnet(textOf(pool, 'Pool'), network);
    this.#ports.networks.put({
      id: idOf(body, 'NetworkID'),
      network: network.name,
      isInternal: flagOf(options, INTERNAL_LABEL),
      auxiliary: pools.flatMap((pool) => textsOf(pool, 'AuxAddresses').map((text) => text.split('/')[0]!)),
    });
    return {};
  }

  deleteNetwork(body: Fields): object {
    this.#ports.networks.delete(idOf(body, 'NetworkID'));
    return {};
  }

  async createEndpoint(body: Fields, cancelled: AbortSignal): Promise<object> {
    const network = this.#ports.network(this.#dockerNetwork(body).network);
    const id = idOf(body, 'EndpointID');
    const wish = fieldsOf(body.Interface, 'Interface');
    const mac = macOf(wish, 'MacAddress');
    const given = [addressOf(wish, 'Address'), addressOf(wish, 'AddressIPv6')].filter((ip) => ip !== null);
    const known = this.#ports.endpoints.find(id);
    // Docker asks again when our daemon ended before it had the answer.
    const isRepeat =
      known !== null && given.every((ip) => known.ips.includes(ip)) && (mac === null || mac === known.mac);
    const endpoint = isRepeat ? known : await this.#create({ id, network, mac, given }, cancelled);
    const chosen = given.length === 0 ? { Address: `${endpoint.ips[0]}/${network.range.prefix}` } : {};
    return { Interface: { ...(mac === null ? { MacAddress: endpoint.mac } : {}), ...chosen } };
  }

  join(body: Fields): object {
    const { isInternal, network: name } = this.#dockerNetwork(body);
    const endpoint = this.#endpoint(body);
    const names = { InterfaceName: { SrcName: endpoint.ifname, DstPrefix: CONTAINER_IFNAME } };
    if (isInternal) return { ...names, DisableGatewayService: true };
    const { gateway, gateway6 } = this.#ports.network(name);
    const hasIpv6 = endpoint.ips.some((ip) => ip.includes(':'));
    return { ...names, Gateway: gateway, ...(hasIpv6 && gateway6 !== null ? { GatewayIPv6: gateway6 } : {}) };
  }

  async deleteEndpoint(body: Fields): Promise<object> {
    const endpoint = this.#ports.endpoints.find(idOf(body, 'EndpointID'));
    if (endpoint !== null) await this.removeEndpoint(endpoint);
    return {};
  }

  /** Also for one that Docker has forgotten. */
  async removeEndpoint({ id, network, ips }: Endpoint): Promise<void> {
    await this.#ports.endpoints.remove(id);
    this.#ports.held.endpointGone(ips.map((ip) => ({ network, ip })));
  }

  operationalInfo(body: Fields): object {
    const { mac, ips } = this.#endpoint(body);
    return { Value: { 'fabric.mac': mac, 'fabric.ips': ips.join(' ') } };
  }

  /** A container has an address of its own that all hosts reach, so that there is nothing to publish, and nothing that does it. */
  publishPorts(body: Fields): object {
    const ports = fieldsOf(body.Options, 'Options')[PORT_MAP_LABEL];
    if (!Array.isArray(ports) || ports.length === 0) return {};
    throw new FabricError('usage', {
      what: 'fabric publishes no ports of containers',
      why: 'each container is reached at its own address, on all of its ports',
      fix: 'Leave --publish out',
    });
  }

  async #create(
    {
      id,
      network,
      mac,
      given,
    }: {
      readonly id: string;
      readonly network: FabricNetwork;
      readonly mac: Endpoint['mac'] | null;
      readonly given: readonly string[];
    },
    cancelled: AbortSignal,
  ): Promise<Endpoint> {
    const { held, endpoints } = this.#ports;
    for (const ip of given) {
      const pool = ip.includes(':') ? network.range6 : network.range;
      if (pool === null)
        throw new FabricError('address-invalid', { what: `${network.name} has no IPv6, so not ${ip}` });
      await held.take({ network: network.name, ip }, pool, cancelled);
    }
    const ips =
      given.length > 0
        ? given
        : [await held.request({ network: network.name, pool: network.range, wanted: null }, cancelled)];
    const ifname = `${IFNAME_PREFIX}${id}`.slice(0, IFNAME_CHARS_MAX);
    return endpoints.create({ id, network: network.name, ifname, ips, mac }, cancelled);
  }

  #dockerNetwork(body: Fields): DockerNetwork {
    return this.#ports.networks.get(idOf(body, 'NetworkID'));
  }

  #endpoint(body: Fields): Endpoint {
    const id = idOf(body, 'EndpointID');
    const endpoint = this.#ports.endpoints.find(id);
    if (endpoint !== null) return endpoint;
    throw new FabricError('attachment-unknown', {
      what: `fabric has no endpoint ${id}`,
      why: 'its interface vanished, or fabric was reset since it was made',
      fix: 'Start the container again',
    });
  }
}
