"""Options that only forks of Caffe have, in the messages of layers that upstream has too: what they do here.

The schema reads them all. An option that is in none of these tables does here what it does in its fork. The others
steer something else than the result (an engine, memory, another tool's quantization), change how its fork trains, or
would change the result in a way that is not built; those are refused unless they are passed over on purpose.
Sources: the caffe.proto of each fork, and where that says too little its layers.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from segcaffe.proto.fields import enum_name

_log = logging.getLogger("segcaffe")


class Effect(Enum):
    """What an option of a fork changes there; here it does nothing."""

    ENGINE = "without effect here"
    """How the result is computed: an engine, types of numbers, memory, threads, another tool's quantization."""
    TRAINING = "without effect here, for which their Caffe would train differently"
    MISSING = "not built here"
    """The result."""


class Found(NamedTuple):
    """An option of a fork that a message sets: ``pooling_param.pad_type``, its value as text, its effect there."""

    path: str
    value: str
    effect: Effect


_QUANTIZED = "input_scale output_scale input_zero_point output_zero_point saturate quantize_method"
_ENGINE = {
    "NetParameter": "compile_net_state engine multinode default_forward_type default_backward_type "
    "default_forward_math default_backward_math global_grad_scale global_grad_scale_adaptive "
    "default_conv_algos_override reduce_buckets default_cudnn_math_override eltwise_mem_sharing quantize "
    "net_quantization_param profile_info profile_iter profile_warmup data_type quantizer reduced_memory_inference "
    "autotune mem_param",
    "NetState": "quantizer_mode",
    "SolverParameter": "engine store_blobs_in_old_format solver_data_type per_parameter_reduce snapshot_log "
    "unsigned_check_in unsigned_check_out display_quantization insert_quantization_param data_type "
    "device group_id richness debug_test_iters debug_train_iters",
    "LayerParameter": "engine multinode forward_type backward_type forward_math backward_math debug "
    "cudnn_math_override snapshot_log_weights snapshot_log_in snapshot_log_out bottom_data_type compute_data_type "
    "top_data_type bottom_quantizer top_quantizer net_quantizer blobs_quantizer autotune device bottom_shared_index "
    "top_shared_index buffer reshape_every_iter quantization_param mn_activation_param mn_grad_compress_param",
    "TransformationParameter": "interpolation_algo_down interpolation_algo_up forward_packing use_gpu_transform "
    "display debug_params",
    "BatchNormParameter": "engine",
    "BiasParameter": f"{_QUANTIZED} bias_scale bias_zero_point",
    "ConcatParameter": f"engine {_QUANTIZED}",
    "ConvolutionParameter": "conv_algorithm cudnn_convolution_algo_seeker conv_algos_override cudnn_flavor "
    f"{_QUANTIZED} weight_scale weight_zero_point per_channel_scale_weight per_channel_scale_output",
    "DataParameter": "threads parser_threads cache precache disk_reader_threads huge_video_dataset verbose block_size "
    "shuffle_buffer_size",
    "DetectionOutputParameter": "visualize visualize_threshold save_file",
    "DropoutParameter": "engine random_seed",
    "EltwiseParameter": f"engine {_QUANTIZED}",
    "ImageDataParameter": "threads cache precache dataset_share_per_node max_expected_height max_expected_width "
    "max_expected_channel",
    "InnerProductParameter": f"engine {_QUANTIZED} weight_scale weight_zero_point",
    "InputParameter": "output_scale output_zero_point",
    "LRNParameter": "unit_test_mode unit_test_fuse_kernel input_scale output_scale",
    "MultiStageMeanfieldParameter": "force_cpu",
    "PoolingParameter": _QUANTIZED,
    "PowerParameter": "saturate quantize_method",
    "ReLUParameter": "fuse input_scale output_scale input_zero_point output_zero_point saturate",
    "SigmoidParameter": "input_scale output_scale input_zero_point output_zero_point saturate",
    "SoftmaxParameter": "input_scale output_scale input_zero_point output_zero_point saturate",
}
_TRAINING = {
    "NetParameter": "bn_stats_batch_size",
    "SolverParameter": "disabled_update test_offset ignore_shape_mismatch ignore_mismatching_blobs "
    "test_and_snapshot_last_epochs sparse_mode sparsity_target sparsity_step_factor sparsity_step_iter "
    "sparsity_start_iter sparsity_start_factor sparsity_threshold_maxratio sparsity_itr_increment_bfr_applying "
    "sparsity_threshold_value_max quantization_start_iter quantize_weights quantize_activations quantization_param "
    "gan_solver lr_dropout decoupled_wd_t0 decoupled_wd_mult clip_gradients_global snapshot_before_train "
    "do_everything monitor_test monitor_test_id "
    "max_steps_without_improvement max_periods_without_improvement min_iters_per_period max_nonfinite_test_loss "
    "clamp_weights_lower clamp_weights_upper clip_weights larc_turbo",
    "TransformationParameter": "noise_param distort_param expand_param emit_constraint random_resize_param "
    "random_aspect_ratio_param flow img_rand_resize_lower img_rand_resize_upper rand_resize_ratio_lower "
    "rand_resize_ratio_upper vertical_stretch_lower vertical_stretch_upper horizontal_stretch_lower "
    "horizontal_stretch_upper allow_upscale random_seed num_labels var_sz_img_enabled erase_ratio scale_min scale_max "
    "aspect_min aspect_max caffe_yolo enable_classf_aug min_scaling_factor max_scaling_factor max_rotation_angle "
    "contrast_brightness_adjustment smooth_filtering min_contrast max_contrast max_brightness_shift max_smooth "
    "max_color_shift min_side_min min_side_max min_side apply_probability geometry_param rotate untransformed_top "
    "fix_crop more_fix_crop multi_scale scale_ratios max_distort is_flow original_image stride upper_size upper_height "
    "upper_width min_resize max_resize square_resize var_sz_img_rand_resize_lower var_sz_img_rand_resize_upper "
    "var_sz_img_rand_crop var_sz_img_center_crop",
    "LossParameter": "label_smoothing bootstrap_samples_fraction bootstrap_prob_threshold log_output",
    "AccuracyParameter": "history_size log_output min_is_better",
    "BatchNormParameter": "stats_batch_size icnet",
    "ConvolutionParameter": "mem_group_size",
    "DataParameter": "shuffle shuffle_skip_max range_start range_end rand_permute rand_permute_order rand_permute_seed "
    "permute_every_iter limit_samples random",
    "ImageDataParameter": "face_transform max_shear_ratio max_aspect_ratio max_rotate_angle min_random_scale "
    "max_random_scale max_random_shift face_mirror face_point_num balance_class balance_by",
    "PoolingParameter": "blobs_lr blobs_a_min",
}
_MISSING = {
    "FillerParameter": "scale file diag_val alpha",
    "LayerParameter": "param_bottoms subtraction",
    "TransformationParameter": "resize_param bgr2rgb pad center_crop cvt_bgr2rgb",
    "LossParameter": "label_weights assign_label_weights num_label_weights "
    "weight_by_label_freqs class_weighting adaptive_weighting gamma scale min_weight max_weight max_entropy_weight "
    "cross_entropy_positive_weight only_care_label",
    "ArgMaxParameter": "use_ignore_ids ignore_id min_first",
    "AugmentationParameter": "crop_width crop_height write_augmented max_multiplier augment_during_test recompute_mean "
    "write_mean mean_per_pixel mean mode bottomwidth bottomheight num chromatic_eigvec mirror translate rotate zoom "
    "squeeze translate_x translate_y gamma brightness contrast color lmult_pow lmult_mult lmult_add sat_pow sat_mult "
    "sat_add col_pow col_mult col_add ladd_pow ladd_mult ladd_add col_rotate fog_amount fog_size motion_blur_angle "
    "motion_blur_size shadow_angle shadow_distance shadow_strength noise",
    "BatchNormParameter": "use_weight_bias bias_term filler bias_filler relu scale_filler scale_bias fused_relu "
    "add_eps_before_sqrt disable_mean disable_variance",
    "ConcatParameter": "per_fla_fuse",
    "ConvolutionParameter": "relu negative_slope coeff fusion_type fuse_type eltwise_param relu_param pad_type pad_l "
    "pad_r pad_t pad_b submanifold_sparse weight_fixed dis_mode gen_mode shape_offset dilation_h dilation_w kstride",
    "CropParameter": "dimsize blob_name",
    "DataParameter": "side preselection_file preselection_label slice_point encoding subtract",
    "DenseImageDataParameter": "rotate one_hot_nclasses",
    "DetectionOutputParameter": "ratio_permute tflite_detection tflite_use_regular_nms max_classes_per_detection "
    "scale_xywh arm_conf_no_concat arm_loc_no_concat side num_box coords nms_threshold biases output_logits normalized",
    "DropoutParameter": "scale_train sample_weights_test sqrt_scale scale_test",
    "ELUParameter": "lambda",
    "EltwiseParameter": "axis",
    "HDF5DataParameter": "image",
    "ImageDataParameter": "min_height min_width short_side label_divide_factor max_labels label_size label_span "
    "label_cut_start label_cut_end images_in_color",
    "InnerProductParameter": "relu negative_slope normalize weight_fixed dis_mode gen_mode",
    "InterpParameter": "full_zoom_factor mode use_blob_size",
    "LRNParameter": "fuse_type pooling_param",
    "MVNParameter": "add_eps_before_sqrt",
    "MemoryDataParameter": "dim transpose",
    "MultiStageMeanfieldParameter": "spatial_filter_weights_str bilateral_filter_weights_str",
    "ParameterParameter": "filler norm_axis blob_filler",
    "PermuteParameter": "type",
    "PoolingParameter": "pad_3d kernel_size_3d stride_3d avg_include_pad axis torch_pooling dilation ceil_mode "
    "pad_type pad_l pad_r pad_t pad_b output_shift_instead_division kstride kernel_size_nd stride_nd pad_nd",
    "ReLUParameter": "n relu6 maximum minimum",
    "RecurrentParameter": "default_initial continue_recur tf_rnn linear_before_reset direction activation_alpha "
    "activation_beta activations",
    "ReductionParameter": "k",
    "ScaleParameter": "dis_mode gen_mode min_value max_value",
    "SmoothL1LossParameter": "sigma",
    "SoftmaxParameter": "scaling_temperature hard_ratio class_weight hard_mining_label cutting_point normalize_type "
    "label_smooth_factor",
}
_VALUES = {
    "ConvolutionParameter.engine": ("DEFAULT CAFFE CUDNN", Effect.ENGINE),
    "LRNParameter.engine": ("DEFAULT CAFFE CUDNN", Effect.ENGINE),
    "PoolingParameter.engine": ("DEFAULT CAFFE CUDNN", Effect.ENGINE),
    "ReLUParameter.engine": ("DEFAULT CAFFE CUDNN", Effect.ENGINE),
    "EltwiseParameter.operation": ("PROD SUM MAX", Effect.MISSING),
    "PoolingParameter.pool": ("MAX AVE STOCHASTIC", Effect.MISSING),
    "ReductionParameter.operation": ("SUM ASUM SUMSQ MEAN", Effect.MISSING),
    "SPPParameter.pool": ("MAX AVE STOCHASTIC", Effect.MISSING),
    "SolverParameter.solver_type": ("SGD NESTEROV ADAGRAD RMSPROP ADADELTA ADAM", Effect.MISSING),
}
"""Enums to which forks added values: those of upstream, and what the others change."""


def _by_field() -> Mapping[str, Effect]:
    effects = {}
    for effect, table in ((Effect.ENGINE, _ENGINE), (Effect.TRAINING, _TRAINING), (Effect.MISSING, _MISSING)):
        effects.update({f"{kind}.{name}": effect for kind, names in table.items() for name in names.split()})
    return effects


EFFECTS = _by_field()
"""What the options of forks that do nothing here do there, by message and field: ``PoolingParameter.pad_type``."""


def find(message: Message, fields: Collection[str] | None = None, also_read: Collection[str] = ()) -> Iterator[Found]:
    """Yield the options of forks in a message that do nothing here, and are set to something else than their default.

    ``fields`` are the message's fields that are looked into, None for all; ``also_read`` are entries of ``EFFECTS``
    that the reader of the message knows what to do with.
    """
    watched = _watched(message.DESCRIPTOR)
    for field, value in message.ListFields():
        if field.name not in watched:
            continue
        key = f"{message.DESCRIPTOR.name}.{field.name}"
        effect = EFFECTS.get(key)
        if effect is not None:
            if key not in also_read and (field.is_repeated or value != field.default_value):
                yield Found(field.name, _text(field, value), effect)
        elif key in _VALUES and key not in also_read:
            known, effect = _VALUES[key]
            name = _text(field, value)
            if name not in known.split():
                yield Found(field.name, name, effect)
        elif field.message_type is not None and (fields is None or field.name in fields):
            for inner in value if field.is_repeated else (value,):
                for found in find(inner, None, also_read):
                    yield found._replace(path=f"{field.name}.{found.path}")


@cache
def _watched(kind: Descriptor) -> frozenset[str]:
    """The fields of a message that `find` has to look at: those of the tables, and messages that may hold such."""
    return frozenset(f.name for f in kind.fields if _in_tables(kind, f) or _may_hold(f.message_type))


def _may_hold(kind: Descriptor | None) -> bool:
    return kind is not None and any(_in_tables(kind, f) or f.message_type is not None for f in kind.fields)


def _in_tables(kind: Descriptor, field: FieldDescriptor) -> bool:
    key = f"{kind.name}.{field.name}"
    return key in EFFECTS or key in _VALUES


def tell_of(message: Message) -> None:
    """Log the options of forks that a solver sets and that do nothing here."""
    found = list(find(message, ()))
    for effect in Effect:
        told = ", ".join(f"{option.path}: {option.value}" for option in found if option.effect is effect)
        if told:
            _log.warning("Options of other Caffes %s: %s", effect.value, told)


def _text(field: FieldDescriptor, value: Any) -> str:
    if field.message_type is not None:
        return "{ }"
    values = list(value) if field.is_repeated else [value]
    if field.enum_type is not None:
        values = [enum_name(field, number) for number in values]
    return ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in values)
