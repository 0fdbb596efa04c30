// Docker's network driver (libnetwork docs/remote.md) of local scope: the daemons of two hosts know nothing of each other's
// networks; what joins them is the name of the fabric network. Each endpoint is one attachment: its interface is made when
// the endpoint is, and Docker moves it into the container; the driver never opens the container's namespace. The answer to
// Join names a gateway, so that Docker adds no docker_gwbridge.

import { FabricError } from '../base/errors.ts';
import { DEFAULT_NETWORK_NAME, type Mac } from '../base/ids.ts';
import type { DockerBackend, Endpoint, FabricNetwork, HeldAddress } from './backend.ts';
import type { DockerNetwork, DockerNetworks } from './docker-networks.ts';
import type { HeldAddresses } from './held-addresses.ts';
import { addressOf, type Fields, fieldsOf, flagOf, idOf, listOf, macOf, textOf, textsOf } from './messages.ts';
import { refuseForeignGateway, refuseForeignSubnet } from './pools.ts';

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
  /** Throws `network-unknown` when there is none of that name. */
  network(name: string): FabricNetwork;
  readonly networks: DockerNetworks;
  readonly held: HeldAddresses;
  readonly endpoints: DockerBackend['endpoints'];
  /** Whose endpoint that is, where Docker has told. */
  containerOf(endpointId: string): string | null;
}

/** What Docker asks of an endpoint. */
interface Wanted {
  readonly id: string;
  readonly network: FabricNetwork;
  readonly mac: Mac | null;
  readonly given: readonly string[];
}

export class NetworkDriver {
  readonly #ports: NetworkDriverPorts;
  /** Endpoints whose interface is being made. */
  readonly #making = new Map<string, Promise<Endpoint>>();

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
    for (const pool of pools) {
      refuseForeignSubnet(textOf(pool, 'Pool'), network);
      refuseForeignGateway(textOf(pool, 'Gateway'), network);
    }
    this.#ports.networks.put({
      id: idOf(body, 'NetworkID'),
      network: network.name,
      vni: network.id,
      isInternal: flagOf(options, INTERNAL_LABEL),
      auxiliary: pools.flatMap((pool) => textsOf(pool, 'AuxAddresses').map((text) => text.split('/')[0]!)),
    });
    return {};
  }

  deleteNetwork(body: Fields): object {
    const gone = this.#ports.networks.delete(idOf(body, 'NetworkID'));
    if (gone !== null) this.#ports.held.networkGone(gone);
    return {};
  }

  async createEndpoint(body: Fields, cancelled: AbortSignal): Promise<object> {
    const wanted = this.#wanted(body);
    const known = this.#ports.endpoints.find(wanted.id);
    // Docker asks again when our daemon ended before it had the answer.
    const isRepeat = known?.state === 'ready' && fits(known, wanted);
    const making = isRepeat ? Promise.resolve(known) : this.#create(wanted, cancelled);
    this.#making.set(wanted.id, making);
    try {
      return answerFor(await making, wanted);
    } finally {
      if (this.#making.get(wanted.id) === making) this.#making.delete(wanted.id);
    }
  }

  /** The answer to {@link createEndpoint} before the interface is there, which {@link join} waits for; null: it is too early. */
  begunEndpoint(body: Fields): object | null {
    const wanted = this.#wanted(body);
    const endpoint = this.#ports.endpoints.find(wanted.id);
    return endpoint === null ? null : answerFor(endpoint, wanted);
  }

  async join(body: Fields): Promise<object> {
    const dockerNetwork = this.#dockerNetwork(body);
    await this.#making.get(idOf(body, 'EndpointID'));
    const endpoint = this.#endpoint(body);
    const names = { InterfaceName: { SrcName: endpoint.ifname, DstPrefix: CONTAINER_IFNAME } };
    const { gateway, gateway6, isInternal } = this.#fabricNetwork(dockerNetwork);
    if (isInternal || dockerNetwork.isInternal) return { ...names, DisableGatewayService: true };
    const hasIpv6 = endpoint.ips.some((ip) => ip.includes(':'));
    return { ...names, Gateway: gateway, ...(hasIpv6 && gateway6 !== null ? { GatewayIPv6: gateway6 } : {}) };
  }

  async deleteEndpoint(body: Fields): Promise<object> {
    const id = idOf(body, 'EndpointID');
    const endpoint = this.#ports.endpoints.all().find((one) => one.id === id);
    if (endpoint !== undefined) await this.removeEndpoint(endpoint);
    return {};
  }

  /** Also for one that Docker has forgotten. */
  async removeEndpoint(endpoint: Endpoint): Promise<void> {
    const { endpoints, held, containerOf } = this.#ports;
    const ends = (): void => held.endpointEnds(addressesOf(endpoint), containerOf(endpoint.id));
    const removed = endpoints.remove(endpoint.id);
    ends();
    await removed;
    ends(); // one that was still being made had them until now
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

  #wanted(body: Fields): Wanted {
    const wish = fieldsOf(body.Interface, 'Interface');
    return {
      id: idOf(body, 'EndpointID'),
      network: this.#fabricNetwork(this.#dockerNetwork(body)),
      mac: macOf(wish, 'MacAddress'),
      given: [addressOf(wish, 'Address'), addressOf(wish, 'AddressIPv6')].filter((ip) => ip !== null),
    };
  }

  async #create({ id, network, mac, given }: Wanted, cancelled: AbortSignal): Promise<Endpoint> {
    const { held, endpoints } = this.#ports;
    for (const ip of given) {
      const pool = ip.includes(':') ? network.range6 : network.range;
      if (pool === null)
        throw new FabricError('address-invalid', { what: `${network.name} has no IPv6, so not ${ip}` });
      await held.take({ network: network.name, ip }, pool, cancelled);
    }
    const any = { network: network.name, pool: network.range, wanted: null };
    const ips = given.length > 0 ? given : [await held.request(any, cancelled)];
    const ifname = `${IFNAME_PREFIX}${id}`.slice(0, IFNAME_CHARS_MAX);
    const endpoint = await endpoints.create({ id, network: network.name, ifname, ips, mac }, cancelled);
    held.endpointMade(addressesOf(endpoint));
    return endpoint;
  }

  #dockerNetwork(body: Fields): DockerNetwork {
    return this.#ports.networks.get(idOf(body, 'NetworkID'));
  }

  /** Never another one than when Docker's was made. Throws `network-unknown`. */
  #fabricNetwork({ network: name, vni }: DockerNetwork): FabricNetwork {
    const found = this.#ports.network(name);
    if (found.id === vni) return found;
    throw new FabricError('network-unknown', {
      what: `the fabric network ${name} is not the one that this Docker network was made for`,
      why: `that had the id ${vni}, and ${name} has the id ${found.id} now`,
      fix: 'See fabric network ls, and make the Docker network anew',
    });
  }

  #endpoint(body: Fields): Endpoint {
    const id = idOf(body, 'EndpointID');
    const endpoint = this.#ports.endpoints.find(id);
    if (endpoint?.state === 'ready') return endpoint;
    throw new FabricError('attachment-unknown', {
      what: `fabric has no endpoint ${id}`,
      why: 'its interface vanished, or fabric was reset since it was made',
      fix: 'Start the container again',
    });
  }
}

function addressesOf({ network, ips }: Endpoint): readonly HeldAddress[] {
  return ips.map((ip) => ({ network, ip }));
}

function fits({ ips, mac }: Endpoint, wanted: Wanted): boolean {
  return wanted.given.every((ip) => ips.includes(ip)) && (wanted.mac === null || wanted.mac === mac);
}

/** Docker takes no answer to what it has said itself. */
function answerFor({ ips, mac }: Endpoint, { given, network, mac: wantedMac }: Wanted): object {
  const chosen = given.length === 0 ? { Address: `${ips[0]}/${network.range.prefix}` } : {};
  return { Interface: { ...(wantedMac === null ? { MacAddress: mac } : {}), ...chosen } };
}
