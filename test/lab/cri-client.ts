// A small client of a container runtime's CRI socket, as the kubelet uses it: pod sandboxes run, are asked for their addresses,
// stopped and removed. The messages are the part of the Kubernetes CRI API, runtime.v1, that this needs, with its numbers.

import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const PROTO = `
syntax = "proto3";
package runtime.v1;
message PodSandboxMetadata { string name = 1; string uid = 2; string namespace = 3; uint32 attempt = 4; }
message PortMapping { int32 protocol = 1; int32 container_port = 2; int32 host_port = 3; string host_ip = 4; }
message DNSConfig { repeated string servers = 1; repeated string searches = 2; repeated string options = 3; }
message LinuxPodSandboxConfig { string cgroup_parent = 1; }
message PodSandboxConfig {
  PodSandboxMetadata metadata = 1;
  string hostname = 2;
  string log_directory = 3;
  DNSConfig dns_config = 4;
  repeated PortMapping port_mappings = 5;
  map<string, string> labels = 6;
  map<string, string> annotations = 7;
  LinuxPodSandboxConfig linux = 8;
}
message RunPodSandboxRequest { PodSandboxConfig config = 1; string runtime_handler = 2; }
message RunPodSandboxResponse { string pod_sandbox_id = 1; }
message PodSandboxRequest { string pod_sandbox_id = 1; }
message Empty {}
message PodIP { string ip = 1; }
message PodSandboxNetworkStatus { string ip = 1; repeated PodIP additional_ips = 2; }
message PodSandboxStatus { string id = 1; int32 state = 3; PodSandboxNetworkStatus network = 5; }
message PodSandbox { string id = 1; }
message ListPodSandboxResponse { repeated PodSandbox items = 1; }
message PodSandboxStatusResponse { PodSandboxStatus status = 1; }
message RuntimeCondition { string type = 1; bool status = 2; string reason = 3; string message = 4; }
message RuntimeStatus { repeated RuntimeCondition conditions = 1; }
message StatusResponse { RuntimeStatus status = 1; }
`;
const SCHEMA = protobuf.parse(PROTO).root;
const SERVICE = '/runtime.v1.RuntimeService';
const TIMEOUT_MS = 60_000;

export interface PodSandbox {
  readonly name: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly portMappings?: readonly { readonly containerPort: number; readonly hostPort: number }[];
  readonly dnsServers?: readonly string[];
}

export class CriClient {
  readonly #client: Client;

  /** `socket`: path of the runtime's unix socket. */
  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure());
  }

  close(): void {
    this.#client.close();
  }

  /** Conditions that the runtime reports as true, `RuntimeReady` and `NetworkReady` when all is well. */
  async ready(): Promise<readonly string[]> {
    const answer = await this.#call<{ status?: { conditions?: { type: string; status?: boolean }[] } }>(
      'Status',
      ['Empty', 'StatusResponse'],
      {},
    );
    return (answer.status?.conditions ?? []).filter(({ status }) => status === true).map(({ type }) => type);
  }

  /** Resolves with the sandbox's id once its network is set up. */
  async run({ name, annotations = {}, portMappings = [], dnsServers = [] }: PodSandbox): Promise<string> {
    const config = {
      metadata: { name, uid: `uid-${name}`, namespace: 'default', attempt: 0 },
      dnsConfig: { servers: dnsServers },
      portMappings,
      annotations,
      linux: {},
    };
    const types = ['RunPodSandboxRequest', 'RunPodSandboxResponse'] as const;
    return (await this.#call<{ podSandboxId: string }>('RunPodSandbox', types, { config })).podSandboxId;
  }

  /** Addresses of a sandbox, the first one as `podIP`. */
  async addresses(podSandboxId: string): Promise<readonly string[]> {
    const types = ['PodSandboxRequest', 'PodSandboxStatusResponse'] as const;
    const answer = await this.#call<{ status: { network?: { ip: string; additionalIps?: { ip: string }[] } } }>(
      'PodSandboxStatus',
      types,
      { podSandboxId },
    );
    const { network } = answer.status;
    return network === undefined ? [] : [network.ip, ...(network.additionalIps ?? []).map(({ ip }) => ip)];
  }

  /** Ids of all sandboxes. */
  async pods(): Promise<readonly string[]> {
    const types = ['Empty', 'ListPodSandboxResponse'] as const;
    const { items = [] } = await this.#call<{ items?: { id: string }[] }>('ListPodSandbox', types, {});
    return items.map(({ id }) => id);
  }

  async stop(podSandboxId: string): Promise<void> {
    await this.#call('StopPodSandbox', ['PodSandboxRequest', 'Empty'], { podSandboxId });
  }

  async remove(podSandboxId: string): Promise<void> {
    await this.#call('RemovePodSandbox', ['PodSandboxRequest', 'Empty'], { podSandboxId });
  }

  #call<T>(method: string, types: readonly [request: string, response: string], content: object): Promise<T> {
    const [request, response] = types.map((name) => SCHEMA.lookupType(`runtime.v1.${name}`));
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `${SERVICE}/${method}`,
        (value: object) => Buffer.from(request!.encode(request!.fromObject(value)).finish()),
        (bytes: Buffer) => response!.toObject(response!.decode(bytes)) as T,
        content,
        { deadline: Date.now() + TIMEOUT_MS },
        (error: ServiceError | null, value?: T) => (error === null ? resolve(value as T) : reject(error)),
      );
    });
  }
}
