#!/bin/sh
# A repeated field of a protobuf message given to NumPy, as scripts do with a caffemodel's BlobProto.data or a
# prototxt's kernel_size and pad. One would think that np.array() makes of the numbers what it makes of a list of Python
# numbers: float64 and int64, whatever the release. So it is with protobuf 6. Since protobuf 7 (7.36.2 here, upb) the
# field speaks NumPy's protocol (__array__) and gives its own type: of floats float32, of uint32 uint32. Sums over
# weights then lose digits that they had, and pad - kernel_size is no longer -2 but 4294967294, without a warning.
# It also answers copy=False, which must not copy, with an array that is a copy: what is written to it is lost.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cat > "$folder/look.py" <<'P'
import google.protobuf
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

file = descriptor_pb2.FileDescriptorProto(name="blob.proto", package="example", syntax="proto2")
fields = file.message_type.add(name="Layer").field
for number, (name, kind) in enumerate((("data", "TYPE_FLOAT"), ("pad", "TYPE_UINT32"), ("kernel_size", "TYPE_UINT32")), 1):
    fields.add(name=name, number=number, type=getattr(descriptor_pb2.FieldDescriptorProto, kind), label=3)
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
layer = message_factory.GetMessageClass(pool.FindMessageTypeByName("example.Layer"))(data=[0.1, 0.2], pad=[1], kernel_size=[3])
data, difference = np.array(layer.data), np.array(layer.pad) - np.array(layer.kernel_size)
try:
    view = np.asarray(layer.data, copy=False)
    view[0] = 9
    alone = f"given, and what is written to it is {'seen' if layer.data[0] == 9 else 'lost'}"
except ValueError:
    alone = "refused"
print(google.protobuf.__version__, data.dtype, difference.dtype, difference[0], alone, sep=", ")
P
found=""
for version in 6.33.5 7.36.2; do
  python3 -m venv "$folder/$version"
  "$folder/$version/bin/pip" install -q "protobuf==$version" "numpy==2.2.6"
  line=$("$folder/$version/bin/python" "$folder/look.py")
  echo "protobuf $line"
  found="$found$line
"
done
expected="6.33.5, float64, int64, -2, refused
7.36.2, float32, uint32, 4294967294, given, and what is written to it is lost
"
if [ "$found" = "$expected" ]; then echo "as found"; else echo "CHANGED"; exit 1; fi
