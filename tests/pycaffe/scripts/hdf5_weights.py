"""Weights through HDF5: saved, read by h5py, changed there, loaded again."""

import caffe
import h5py
import numpy as np

net = caffe.Net("lenet.prototxt", caffe.TEST, weights="lenet.caffemodel")
net.save_hdf5("lenet.h5")
before = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
with h5py.File("lenet.h5", "r+") as f:
    assert sorted(f["data"]) == sorted(net._layer_names)
    for name, blobs in before.items():
        for i, values in enumerate(blobs):
            assert np.array_equal(f["data/%s/%d" % (name, i)][...], values)
    f["data/conv1/1"][...] = 7
for blobs in net.params.values():
    for blob in blobs:
        blob.data[...] = 0
net.load_hdf5("lenet.h5")
assert (net.params["conv1"][1].data == 7).all()
assert np.array_equal(net.params["ip2"][0].data, before["ip2"][0])
other = caffe.Net("lenet.prototxt", caffe.TEST)
other.copy_from("lenet.h5")
assert np.array_equal(other.params["ip1"][0].data, before["ip1"][0])
