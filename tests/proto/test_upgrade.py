"""Old notations become today's."""

from __future__ import annotations

import pytest

from segcaffe.errors import PrototxtError
from segcaffe.proto import text
from segcaffe.proto.caffe_pb2 import (
    BlobProto,
    ImageDataParameter,
    NetParameter,
    SolverParameter,
    V0LayerParameter,
    V1LayerParameter,
)
from segcaffe.proto.upgrade import upgrade_net, upgrade_solver, v1_type_name
from segcaffe.proto.upgrade_v0 import _FIELDS, _V1_TYPES


def net(source):
    return text.parse(source, NetParameter())


def upgraded(source, notes=None):
    return upgrade_net(net(source), notes=notes)


def layers(source):
    return upgraded(source).layer


def failure(source):
    with pytest.raises(PrototxtError) as caught:
        upgrade_net(net(source), where="old.prototxt")
    return str(caught.value)


def test_a_net_of_today_stays():
    source = 'name: "n" layer { name: "a" type: "ReLU" bottom: "x" top: "y" relu_param { negative_slope: 0 } }'
    notes = []
    assert upgraded(source, notes) == net(source)
    assert notes == []


def test_the_net_is_upgraded_in_place_and_returned():
    old = net("layers { type: RELU }")
    assert upgrade_net(old) is old
    assert [layer.type for layer in old.layer] == ["ReLU"]


# V1.


def test_v1_layer():
    new = layers(
        """layers { name: "conv" type: CONVOLUTION bottom: "a" bottom: "b" top: "c" loss_weight: 0.5
             blobs_lr: 1 blobs_lr: 2 weight_decay: 3 weight_decay: 0 weight_decay: 5
             param: "w" blob_share_mode: PERMISSIVE blobs { shape { dim: 1 } data: 7 }
             include { phase: TRAIN } exclude { stage: "s" }
             convolution_param { num_output: 3 kernel_size: 5 } }"""
    )
    assert new == [
        net(
            """layer { name: "conv" type: "Convolution" bottom: "a" bottom: "b" top: "c" loss_weight: 0.5
               param { name: "w" share_mode: PERMISSIVE lr_mult: 1 decay_mult: 3 }
               param { lr_mult: 2 decay_mult: 0 } param { decay_mult: 5 }
               blobs { shape { dim: 1 } data: 7 }
               include { phase: TRAIN } exclude { stage: "s" }
               convolution_param { num_output: 3 kernel_size: 5 } }"""
        ).layer[0]
    ]


def test_zero_is_a_learning_rate():
    assert layers("layers { type: CONVOLUTION blobs_lr: 0 }")[0].param[0].HasField("lr_mult")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("NONE", ""),
        ("ABSVAL", "AbsVal"),
        ("ACCURACY", "Accuracy"),
        ("ARGMAX", "ArgMax"),
        ("BNLL", "BNLL"),
        ("CONCAT", "Concat"),
        ("CONTRASTIVE_LOSS", "ContrastiveLoss"),
        ("CONVOLUTION", "Convolution"),
        ("DATA", "Data"),
        ("DECONVOLUTION", "Deconvolution"),
        ("DROPOUT", "Dropout"),
        ("DUMMY_DATA", "DummyData"),
        ("ELTWISE", "Eltwise"),
        ("EUCLIDEAN_LOSS", "EuclideanLoss"),
        ("EXP", "Exp"),
        ("FLATTEN", "Flatten"),
        ("HDF5_DATA", "HDF5Data"),
        ("HDF5_OUTPUT", "HDF5Output"),
        ("HINGE_LOSS", "HingeLoss"),
        ("IM2COL", "Im2col"),
        ("IMAGE_DATA", "ImageData"),
        ("INFOGAIN_LOSS", "InfogainLoss"),
        ("INNER_PRODUCT", "InnerProduct"),
        ("LRN", "LRN"),
        ("MEMORY_DATA", "MemoryData"),
        ("MULTINOMIAL_LOGISTIC_LOSS", "MultinomialLogisticLoss"),
        ("MVN", "MVN"),
        ("POOLING", "Pooling"),
        ("POWER", "Power"),
        ("RELU", "ReLU"),
        ("SIGMOID", "Sigmoid"),
        ("SIGMOID_CROSS_ENTROPY_LOSS", "SigmoidCrossEntropyLoss"),
        ("SILENCE", "Silence"),
        ("SLICE", "Slice"),
        ("SOFTMAX", "Softmax"),
        ("SOFTMAX_LOSS", "SoftmaxWithLoss"),
        ("SPLIT", "Split"),
        ("TANH", "TanH"),
        ("THRESHOLD", "Threshold"),
        ("WINDOW_DATA", "WindowData"),
        ("BN", "BN"),
        ("RELU6", "ReLU6"),
        ("ROIPOOLING", "ROIPooling"),
        ("SELU_DROPOUT", "SeLUDropout"),
        ("PADDING", "Padding"),
        ("SPATIAL_PYRAMID_POOLING", "SpatialPyramidPooling"),
        ("TOPK", "TopK"),
    ],
)
def test_v1_types(old, new):
    assert v1_type_name(V1LayerParameter(type=old)) == new


def test_every_v1_option_has_a_place_today():
    layer = V1LayerParameter()
    options = [field for field in layer.DESCRIPTOR.fields if field.name.endswith("_param")]
    for field in options:
        getattr(layer, field.name).SetInParent()
    new = upgrade_net(NetParameter(layers=[layer])).layer[0]
    assert len(options) > 25
    renamed = {"softmaxloss_param": "loss_param"}
    assert [field.name for field in options if not new.HasField(renamed.get(field.name, field.name))] == []


def test_mixed_notations():
    assert failure("layer { } layers { } layers { }") == (
        "old.prototxt: a net uses either `layer` (today's notation) or `layers` (the old one). Received: 1 of the "
        "first and 2 of the second. Rename the field of all layers to one of them."
    )


# Transformations.


@pytest.mark.parametrize(
    ("layer", "param"),
    [
        ("layers { type: DATA", "data_param"),
        ("layers { type: IMAGE_DATA", "image_data_param"),
        ("layers { type: WINDOW_DATA", "window_data_param"),
        ('layer { type: "Data"', "data_param"),
    ],
)
def test_transformations_move(layer, param):
    notes = []
    new = upgraded(
        f"{layer} {param} {{ source: 's' scale: 0.5 mean_file: 'm' crop_size: 0 mirror: true }} }}", notes
    ).layer[0]
    assert new.transform_param == text.parse(
        "scale: 0.5 mean_file: 'm' crop_size: 0 mirror: true", type(new.transform_param)()
    )
    assert text.write(getattr(new, param)) == 'source: "s"\n'
    assert f'Layer "": {param}.mirror moved to transform_param.' in notes


def test_a_transformation_of_today_wins():
    notes = []
    new = upgraded("layers { type: DATA data_param { scale: 2 } transform_param { scale: 3 } }", notes).layer[0]
    assert new.transform_param.scale == 3
    assert notes[0] == 'Layer "": data_param.scale is overruled by transform_param.scale.'


# Inputs.


@pytest.mark.parametrize(
    "shapes",
    [
        "input_dim: [1, 2, 3, 4, 5, 6, 7, 8]",
        "input_shape { dim: [1, 2, 3, 4] } input_shape { dim: [5, 6, 7, 8] }",
    ],
)
@pytest.mark.parametrize("layer", ['layer { name: "a" type: "ReLU" }', 'layers { name: "a" type: RELU }'])
def test_inputs_become_one_layer_in_front(shapes, layer):
    assert upgraded(f'input: "x" {layer} input: "y" {shapes}') == net(
        """layer { name: "input" type: "Input" top: "x" top: "y"
           input_param { shape { dim: [1, 2, 3, 4] } shape { dim: [5, 6, 7, 8] } } }
           layer { name: "a" type: "ReLU" }"""
    )


def test_inputs_without_shapes_are_dropped_with_a_note():
    notes = []
    assert upgraded('input: "x"', notes) == NetParameter()
    assert notes == ["The net's inputs x have no shape and were dropped."]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            'input: "x" input_dim: [1, 2, 3]',
            "a net gives four input_dim for each input (num, channels, height, width). Received: 1 input (x) and 3",
        ),
        ('input: "x" input: "y" input_shape { dim: 1 }', "Received: 2 inputs (x, y) and 1 input_shape."),
        ("input_dim: [1, 2, 3, 4]", "Received: 0 inputs (none) and 4 input_dim."),
    ],
)
def test_inputs_that_do_not_fit_their_shapes(source, expected):
    assert expected in failure(source)


# BatchNorm.


def test_three_declared_params_of_batch_norm_do_not_learn():
    source = 'layer { type: "BatchNorm" param { lr_mult: 1 name: "m" } param { decay_mult: 2 } param { } }'
    fixed = "lr_mult: 0 decay_mult: 0"
    expected = f'layer {{ type: "BatchNorm" param {{ name: "m" {fixed} }} param {{ {fixed} }} param {{ {fixed} }} }}'
    notes = []
    assert upgraded(source, notes) == net(expected)
    assert notes == ['Layer "" (BatchNorm): its three params are statistics; lr_mult became 0.']


@pytest.mark.parametrize(
    "source", ['layer { type: "BatchNorm" param { } }', 'layer { type: "Scale" param { } param { } param { } }']
)
def test_other_params_stay(source):
    assert upgraded(source) == net(source)


# V0.


def test_v0_net():
    new = upgraded(
        """name: "old" force_backward: true input: "data" input_dim: [1, 3, 8, 8]
        layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 3 stride: 2 pad: 1 group: 1
                 biasterm: false weight_filler { type: "xavier" } blobs_lr: 1 weight_decay: 2 blobs { num: 1 data: 5 } }
                 bottom: "data" top: "conv1" }
        layers { layer { name: "pool1" type: "pool" pool: AVE kernelsize: 2 stride: 2 } bottom: "conv1" top: "pool1" }
        layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 2 beta: 0.5 k: 3 } bottom: "pool1" top: "norm" }
        layers { layer { name: "fc" type: "innerproduct" num_output: 2 bias_filler { value: 1 } }
                 bottom: "norm" top: "fc" }
        layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.1 } bottom: "fc" top: "fc" }
        layers { layer { name: "loss" type: "softmax_loss" } bottom: "fc" bottom: "label" }"""
    )
    assert new == net(
        """name: "old" force_backward: true
        layer { name: "input" type: "Input" top: "data" input_param { shape { dim: [1, 3, 8, 8] } } }
        layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 decay_mult: 2 }
                blobs { num: 1 data: 5 } convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 1
                bias_term: false weight_filler { type: "xavier" } } }
        layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
                pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
        layer { name: "norm" type: "LRN" bottom: "pool1" top: "norm"
                lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 3 } }
        layer { name: "fc" type: "InnerProduct" bottom: "norm" top: "fc"
                inner_product_param { num_output: 2 bias_filler { value: 1 } } }
        layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" dropout_param { dropout_ratio: 0.1 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" }"""
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            'type: "data" source: "s" batchsize: 3 rand_skip: 4 scale: 0.5 meanfile: "m" cropsize: 5 mirror: true',
            'type: "Data" transform_param { scale: 0.5 mirror: true crop_size: 5 mean_file: "m" } '
            'data_param { source: "s" batch_size: 3 rand_skip: 4 }',
        ),
        (
            'type: "images" source: "s" batchsize: 3 new_height: 4 new_width: 5 shuffle_images: true rand_skip: 1',
            'type: "ImageData" image_data_param { source: "s" batch_size: 3 rand_skip: 1 shuffle: true new_height: 4 '
            "new_width: 5 }",
        ),
        (
            'type: "window_data" det_fg_threshold: 0.1 det_bg_threshold: 0.2 det_fg_fraction: 0.3 det_context_pad: 4 '
            'det_crop_mode: "square"',
            'type: "WindowData" window_data_param { fg_threshold: 0.1 bg_threshold: 0.2 fg_fraction: 0.3 '
            'context_pad: 4 crop_mode: "square" }',
        ),
        (
            'type: "hdf5_data" source: "s" batchsize: 3',
            'type: "HDF5Data" hdf5_data_param { source: "s" batch_size: 3 }',
        ),
        (
            'type: "hdf5_output" hdf5_output_param { file_name: "f" }',
            'type: "HDF5Output" hdf5_output_param { file_name: "f" }',
        ),
        ('type: "infogain_loss" source: "s"', 'type: "InfogainLoss" infogain_loss_param { source: "s" }'),
        ('type: "concat" concat_dim: 0', 'type: "Concat" concat_param { concat_dim: 0 }'),
        ('type: "im2col" kernelsize: 3', 'type: "Im2col" convolution_param { kernel_size: 3 }'),
    ],
)
def test_v0_options(options, expected):
    assert layers(f"layers {{ layer {{ {options} }} }}")[0] == net(f"layer {{ {expected} }}").layer[0]


def test_every_v0_field_has_a_place_or_a_note():
    with_place = {*_FIELDS, "name", "type", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param"}
    without = {field.name for field in V0LayerParameter.DESCRIPTOR.fields} - with_place
    # The dimensions of a reshape layer that never was released.
    assert without == {"new_num", "new_channels"}
    assert {kind for _, homes in _FIELDS.values() for kind in homes} <= set(_V1_TYPES)


def test_a_v0_option_without_use_is_noted():
    notes = []
    upgraded('layers { layer { name: "r" type: "relu" num_output: 3 new_num: 4 } }', notes)
    assert notes[:2] == [
        'Layer "r" (relu): a relu layer has no use for num_output, which was dropped.',
        'Layer "r" (relu): a relu layer has no use for new_num, which was dropped.',
    ]


def test_v0_unknown_type():
    assert failure('layers { layer { name: "c" type: "convolution" } }') == (
        'old.prototxt: in layer "c": the oldest notation, layers { layer { ... } }, has no such type. '
        "Received: `convolution`."
    )


def test_v1_layers_among_v0():
    new = layers('layers { layer { name: "r" type: "relu" } } layers { name: "s" type: SIGMOID }')
    assert [(layer.name, layer.type) for layer in new] == [("r", "ReLU"), ("s", "Sigmoid")]


PADDING = 'layers { layer { name: "pad" type: "padding" pad: 2 } bottom: "data" top: "padded" }'


@pytest.mark.parametrize(("kind", "param"), [("conv", "convolution_param"), ("pool", "pooling_param")])
def test_padding_is_folded(kind, param):
    new = layers(f'{PADDING} layers {{ layer {{ type: "{kind}" }} bottom: "padded" top: "x" }}')
    assert len(new) == 1
    assert new[0].bottom == ["data"]
    assert text.write(getattr(new[0], param)) == "pad: 2\n"


def test_padding_serves_several_layers():
    reader = 'layers { layer { type: "conv" } bottom: "padded" top: "x" }'
    assert [layer.convolution_param.pad for layer in layers(PADDING + reader + reader)] == [[2], [2]]


@pytest.mark.parametrize(
    ("reader", "rule"),
    [
        ('layer { name: "r" type: "relu" } bottom: "padded"', "only a conv or pool layer can read a padding layer"),
        (
            'layer { name: "r" type: "conv" } bottom: "padded" bottom: "y"',
            "a layer behind a padding layer has one bottom",
        ),
    ],
)
def test_padding_before_something_else(reader, rule):
    assert rule in failure(f"{PADDING} layers {{ {reader} }}")


def test_padding_with_two_bottoms():
    two = PADDING.replace('bottom: "data"', 'bottom: "data" bottom: "more"')
    assert failure(two + 'layers { layer { name: "c" type: "conv" } bottom: "padded" }') == (
        'old.prototxt: in layer "c" (conv): a padding layer has one bottom and one top. Received: bottoms padded, of '
        'which the layer "pad" (padding) makes padded from data, more.'
    )


def test_weights_survive():
    blob = BlobProto(num=1, channels=1, height=1, width=2, data=[1.5, 2.5])
    old = NetParameter(layers=[V1LayerParameter(type="CONVOLUTION", blobs=[blob])])
    oldest = NetParameter(layers=[V1LayerParameter(layer=V0LayerParameter(type="conv", blobs=[blob]))])
    assert upgrade_net(old).layer[0].blobs == [blob]
    assert upgrade_net(oldest).layer[0].blobs == [blob]


# Solvers.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SGD", "SGD"),
        ("NESTEROV", "Nesterov"),
        ("ADAGRAD", "AdaGrad"),
        ("RMSPROP", "RMSProp"),
        ("ADADELTA", "AdaDelta"),
        ("ADAM", "Adam"),
    ],
)
def test_solver_types(old, new):
    solver = upgrade_solver(SolverParameter(solver_type=old))
    assert solver == SolverParameter(type=new)


def test_a_solver_with_both_types():
    with pytest.raises(PrototxtError) as caught:
        upgrade_solver(SolverParameter(solver_type="ADAM", type="SGD"), "solver.prototxt")
    assert str(caught.value) == (
        "solver.prototxt: a solver gives its algorithm as `type`, or as the old `solver_type`, not both. "
        'Received: type: "SGD" and solver_type for "Adam". Remove solver_type.'
    )


def test_nets_inside_a_solver():
    inner = "{ layers { type: RELU } }"
    solver = text.parse(f"net_param {inner} train_net_param {inner} test_net_param {inner}", SolverParameter())
    upgrade_solver(solver)
    nets = [solver.net_param, solver.train_net_param, *solver.test_net_param]
    assert [net.layer[0].type for net in nets] == ["ReLU"] * 3


def test_a_solver_without_nets_gets_none():
    assert upgrade_solver(SolverParameter(net="x")) == SolverParameter(net="x")


DEEPLAB = """
layers { name: "data" type: IMAGE_SEG_DATA top: "data" top: "label"
  image_data_param { source: "list.txt" batch_size: 1 label_type: PIXEL } }
layers { name: "pictures" type: IMAGE_DATA top: "x" image_data_param { source: "list.txt" has_label: false } }
layers { name: "shrink" type: INTERP bottom: "label" top: "small" interp_param { shrink_factor: 8 } }
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" strict_dim: false
  convolution_param { num_output: 2 kernel_size: 3 pad: 2 hole: 2 } }
layers { name: "crop" type: CROP bottom: "conv" bottom: "small" top: "crop" }
layers { name: "acc" type: SEG_ACCURACY bottom: "crop" bottom: "label" seg_accuracy_param { ignore_label: 255 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "crop" bottom: "small"
  softmaxloss_param { ignore_label: 255 weight_source: "w" } }
layers { name: "mat" type: MAT_WRITE bottom: "conv" mat_write_param { prefix: "x" } include: { phase: TEST } }
layers { name: "in" type: MAT_READ top: "in" mat_read_param { prefix: "x" } }
layers { name: "crf" type: DENSE_CRF bottom: "conv" bottom: "x" top: "crf" dense_crf_param { max_iter: 5 } }
layers { name: "bias" type: BIAS_CHANNEL bottom: "conv" top: "b" bias_channel_param { bg_bias: 2 } }
layers { name: "unique" type: UNIQUE_LABEL bottom: "label" top: "u" unique_label_param { max_labels: 5 } }
layers { name: "own" type: ADAPTIVE_BIAS_CHANNEL bottom: "conv" top: "a" adaptive_bias_channel_param { num_iter: 2 } }
layers { name: "dt" type: DOMAIN_TRANSFORM bottom: "conv" bottom: "e" top: "d" domain_transform_param { num_iter: 2 } }
layers { name: "rnn" type: MULTI_STAGE_MEANFIELD bottom: "conv" top: "r"
  multi_stage_meanfield_param { num_iterations: 5 } }
"""


def test_names_of_the_first_deeplab():
    from segcaffe.layers import layer_types

    net = upgrade_net(text.parse(DEEPLAB, NetParameter()))
    layers = {layer.name: layer for layer in net.layer}
    assert [layer.type for layer in net.layer if layer.type not in layer_types()] == []
    assert list(layers["conv"].convolution_param.dilation) == [2]
    assert layers["pictures"].image_data_param.label_type == ImageDataParameter.NONE
    assert layers["loss"].loss_param.ignore_label == 255
    assert layers["loss"].loss_param.weight_source == "w"
    assert layers["crf"].dense_crf_param.max_iter == 5
    assert text.parse(text.write(net), NetParameter()) == net


def test_hole_in_todays_notation_and_beside_dilation():
    source = 'layer { name: "c" type: "Convolution" convolution_param { hole_h: 2 hole: 3 } }'
    net = upgrade_net(text.parse(source, NetParameter()))
    assert list(net.layer[0].convolution_param.dilation) == [2, 3]
    with pytest.raises(PrototxtError, match="hole is an old name of dilation; a layer gives one of them"):
        upgrade_net(text.parse(source.replace("hole: 3", "dilation: 3"), NetParameter()))
