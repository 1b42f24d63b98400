"""``blob.data`` and ``blob.diff`` are the host's view of values that live on the device, in both modes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest

import segcaffe as caffe
from segcaffe import device
from segcaffe.blob import Blob
from segcaffe.device import compat
from segcaffe.kernels import dispatch
from segcaffe.kernels.dispatch import HostFallbackWarning
from tests import fake_gpu
from tests.pycaffe.nets import lenet

MODES = ("cpu", "gpu")


@pytest.fixture(autouse=True)
def _kernels_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel has a CUDA version here: those would ask for the real device."""
    monkeypatch.setattr(dispatch, "_gpu_function", lambda package, name: None)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> Iterator[str]:
    compat.substitute_gpu_module(fake_gpu.module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallbackWarning)
        if request.param == "gpu":
            caffe.set_mode_gpu()
        yield request.param


def image(batch: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((batch, 1, 28, 28)).astype(np.float32)


def test_fake_device_refuses_host_arrays() -> None:
    there = fake_gpu.module.asarray(np.ones(3))
    here = np.ones(3)
    for mix in (lambda: there + here, lambda: here + there, lambda: np.add(here, there), lambda: np.dot(there, here)):
        with pytest.raises(TypeError, match="NumPy array"):
            mix()
    with pytest.raises(TypeError, match="asnumpy"):
        np.asarray(there)
    with pytest.raises(TypeError, match="NumPy array"):
        there[...] = here
    assert isinstance(there * 2, fake_gpu.ndarray)
    assert isinstance(fake_gpu.module.maximum(there, 0), fake_gpu.ndarray)


def test_lenet_trains_alike_on_both_devices() -> None:
    results = []
    for run_on in MODES:
        caffe.set_random_seed(3)
        net = caffe.Net(lenet(loss=True), caffe.TRAIN)
        if run_on == "gpu":
            compat.substitute_gpu_module(fake_gpu.module)
            caffe.set_mode_gpu()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HostFallbackWarning)
            net.forward(data=image(), label=np.arange(4))
            net.clear_param_diffs()
            net.backward()
            assert device.is_device_array(net.blobs["conv1"].array) == (run_on == "gpu")
        results.append({name: [blob.diff.copy() for blob in blobs] for name, blobs in net.params.items()})
        results[-1]["loss"] = [net.blobs["loss"].data.copy()]
    for name, arrays in results[0].items():
        for cpu, gpu in zip(arrays, results[1][name], strict=True):
            np.testing.assert_allclose(gpu, cpu, rtol=1e-5, atol=1e-6)


def test_each_missing_kernel_warns_once() -> None:
    compat.substitute_gpu_module(fake_gpu.module)
    caffe.set_mode_gpu()
    dispatch._warn_once.cache_clear()
    net = caffe.Net(lenet(), caffe.TEST)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            net.forward(data=image())
    messages = [str(warning.message) for warning in seen if warning.category is HostFallbackWarning]
    assert messages
    assert len(messages) == len(set(messages))


def test_writing_into_data_is_seen_by_the_next_forward(mode: str) -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    net.blobs["data"].data[...] = image(seed=1)
    first = net.forward()["prob"].copy()
    net.blobs["data"].data[...] = image(seed=2)
    second = net.forward()["prob"].copy()
    assert not np.allclose(first, second)
    net.blobs["data"].data[...] = image(seed=1)
    np.testing.assert_array_equal(net.forward()["prob"], first)


def test_writing_into_parameters_is_seen_by_the_next_forward(mode: str) -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    net.forward(data=image())
    net.params["ip2"][0].data[...] = 0
    net.params["ip2"][1].data[...] = np.arange(10)
    out = net.forward()["prob"]
    scores = np.exp(np.arange(10.0))
    np.testing.assert_allclose(out, np.tile(scores / scores.sum(), (4, 1)), rtol=1e-5)


def test_writing_into_a_middle_blob_is_seen_by_a_forward_from_there(mode: str) -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    whole = net.forward(data=image())["prob"].copy()
    net.blobs["ip1"].data[...] = 0
    changed = net.forward(start="ip2")["prob"].copy()
    assert not np.allclose(changed, whole)
    np.testing.assert_array_equal(net.forward(start="data")["prob"], whole)


def test_writing_into_diff_is_seen_by_the_next_backward(mode: str) -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    net.forward(data=image())
    net.blobs["prob"].diff[...] = 0
    assert not net.backward()["data"].any()
    net.blobs["prob"].diff[:, 0] = 1
    assert net.backward()["data"].any()


def test_an_earlier_view_stays_valid_until_reshape(mode: str) -> None:
    net = caffe.Net(lenet(), caffe.TEST)
    view = net.blobs["data"].data
    result = net.blobs["prob"].data
    view[...] = image(seed=1)
    first = net.forward()["prob"].copy()
    assert np.shares_memory(view, net.blobs["data"].data)
    assert np.shares_memory(result, net.blobs["prob"].data)
    np.testing.assert_array_equal(result, first)
    net.blobs["data"].reshape(2, 1, 28, 28)
    net.blobs["data"].data[...] = image(2, seed=1)
    np.testing.assert_allclose(net.forward()["prob"], first[:2], rtol=1e-4, atol=1e-6)


def test_values_survive_a_change_of_mode() -> None:
    compat.substitute_gpu_module(fake_gpu.module)
    blob = Blob((3,))
    blob.data[...] = 1
    caffe.set_mode_gpu()
    blob.array[...] *= 2
    blob.grad[...] = 5
    caffe.set_mode_cpu()
    np.testing.assert_array_equal(blob.array, [2, 2, 2])
    np.testing.assert_array_equal(blob.diff, [5, 5, 5])


def test_reading_what_the_device_has_copies_once() -> None:
    compat.substitute_gpu_module(fake_gpu.module)
    caffe.set_mode_gpu()
    blob = Blob((1000,))
    blob.array[...] = 3
    before = fake_gpu.module.copies["to host"]
    assert blob.data.sum() == 3000
    assert blob.data.sum() == 3000
    assert fake_gpu.module.copies["to host"] == before + 1


def test_blobs_are_arrays_to_numpy(mode: str) -> None:
    blob = Blob((2, 3))
    blob.array[...] = 4
    np.testing.assert_array_equal(blob, np.full((2, 3), 4))
    assert np.asarray(blob, np.float64).dtype == np.float64
    assert np.shares_memory(np.asarray(blob), blob.data)
    assert not np.shares_memory(np.array(blob, copy=True), blob.data)


def test_blobs_lend_their_memory_through_dlpack() -> None:
    blob = Blob((2, 3))
    lent = np.from_dlpack(blob)
    blob.data[...] = 7
    np.testing.assert_array_equal(lent, np.full((2, 3), 7))
    assert blob.__dlpack_device__() == (1, 0)


def test_dlpack_lends_the_devices_memory() -> None:
    compat.substitute_gpu_module(fake_gpu.module)
    caffe.set_mode_gpu()
    assert Blob((2,)).__dlpack_device__() == (2, 0)
