// The gRPC side of proto/mesh.proto: path, options and pass-through codecs. Messages stay bytes here, because grpc-js ends a
// call whose message can't be decoded, and a bad message must never end a link; Connection decodes and counts.

import { type ChannelOptions, logVerbosity, type MethodDefinition, setLogVerbosity } from '@grpc/grpc-js';
import { MESSAGE_BYTES_MAX } from './connection.ts';
import { MESH_SERVICE } from './envelope.ts';

/** It would write to standard error past our log; what matters reaches us as events. */
setLogVerbosity(logVerbosity.NONE);

const passThrough = (bytes: Buffer): Buffer => bytes;

export const LINK_METHOD: MethodDefinition<Buffer, Buffer> = {
  path: `/${MESH_SERVICE}/Link`,
  requestStream: true,
  responseStream: true,
  requestSerialize: passThrough,
  requestDeserialize: passThrough,
  responseSerialize: passThrough,
  responseDeserialize: passThrough,
};

/** One call per connection, nothing of grpc-js' own retries, proxies, pools, tracing or idleness. */
export const GRPC_OPTIONS: ChannelOptions = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_concurrent_streams': 1,
  'grpc-node.flow_control_window': 1024 * 1024,
};
