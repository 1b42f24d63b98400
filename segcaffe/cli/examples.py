"""Examples that help texts end with, by command; a test parses each one."""

from __future__ import annotations

SCENES = "--set SCENES=scenes"
EXAMPLES: dict[str, tuple[str, ...]] = {
    "": (
        "segcaffe configs",
        "segcaffe data make-scenes scenes --classes",
        f"segcaffe train --solver configs/tiny/plain_solver.prototxt {SCENES} --set OUT=model",
        "segcaffe help train",
    ),
    "train": (
        f"segcaffe train --solver configs/tiny/plain_solver.prototxt {SCENES} --set OUT=model",
        "segcaffe train -solver solver.prototxt -weights vgg16.caffemodel -gpu 0",
        "segcaffe train --solver solver.prototxt --snapshot model/net_iter_500.solverstate --tensorboard events",
    ),
    "test": (
        "segcaffe test --model train_val.prototxt --weights net.caffemodel --iterations 100",
        "segcaffe test --model train_val.prototxt --weights net.caffemodel --json -q > scores.json",
    ),
    "time": (
        "segcaffe time --model deploy.prototxt --iterations 10 --phase TEST",
        "segcaffe time -model train_val.prototxt -gpu 0",
    ),
    "classify": (
        "segcaffe classify cat.jpg scores.npy --model_def deploy.prototxt --pretrained_model net.caffemodel",
        "segcaffe classify photos scores.npy --ext png --center_only --images_dim 256,256 "
        "--model_def deploy.prototxt --pretrained_model net.caffemodel",
    ),
    "detect": (
        "segcaffe detect windows.csv scores.csv --model_def deploy.prototxt --pretrained_model rcnn.caffemodel",
        "segcaffe detect images.txt scores.csv --crop_mode grid "
        "--model_def deploy.prototxt --pretrained_model rcnn.caffemodel",
    ),
    "draw": (
        f"segcaffe draw configs/tiny/plain_train_test.prototxt net.svg --phase TRAIN {SCENES}",
        "segcaffe draw deploy.prototxt net.html --shapes",
    ),
    "net": (
        "segcaffe net configs/tiny/plain_deploy.prototxt",
        f"segcaffe net train_val.prototxt --phase TRAIN --recompute auto {SCENES}",
        "segcaffe net --types",
    ),
    "data": (
        "segcaffe data make-scenes scenes --classes",
        "segcaffe data check train.txt --root images/",
        "segcaffe help data make-db",
    ),
    "data make-db": (
        "segcaffe data make-db images/ train.txt train_lmdb --shuffle --resize_height 256 --resize_width 256",
        "segcaffe data make_db -gray=true -encoded=true -encode_type=png images/ train.txt train_leveldb "
        "-backend leveldb",
    ),
    "data make-annotated-db": (
        "segcaffe data make-annotated-db scenes/ scenes/train.txt train_lmdb --label_map_file scenes/labelmap.prototxt",
        "segcaffe data make-annotated-db VOCdevkit/ trainval.txt voc_lmdb --label_map_file labelmap_voc.prototxt "
        "--encoded",
    ),
    "data mean": (
        "segcaffe data mean train_lmdb mean.binaryproto",
        "segcaffe data mean train.txt --root images/",
    ),
    "data show": ("segcaffe data show train.txt --root images/ --count 12 --columns 4 --out sheet.png",),
    "data make-scenes": (
        "segcaffe data make-scenes scenes --classes --train 100 --test 20",
        "segcaffe data make-scenes scenes --boxes --size 96 --train 800 --test 200",
    ),
    "data check": (
        "segcaffe data check scenes/train.txt --root scenes/",
        "segcaffe data check train.txt --root VOC2012 --classes 21 --ignore 255",
    ),
    "data import-folder": ("segcaffe data import-folder photos labels lists --test 50 --map 255=0,128=1",),
    "data import-voc": (
        "segcaffe data import-voc VOCdevkit/VOC2012 lists",
        "segcaffe data import-voc VOCdevkit/VOC2012 lists --sbd benchmark_RELEASE",
    ),
    "data import-coco": ("segcaffe data import-coco coco lists --year 2014",),
    "data import-cityscapes": ("segcaffe data import-cityscapes cityscapes lists",),
    "data import-mnist": ("segcaffe data import-mnist mnist databases",),
    "data import-cifar": ("segcaffe data import-cifar cifar-10-batches-bin databases --backend leveldb",),
    "predict": (
        "segcaffe predict deploy.prototxt net.caffemodel photo.jpg --out predicted --overlay",
        "segcaffe predict deploy.prototxt net.caffemodel test.txt --root images/ --out predicted "
        "--scales 0.5,0.75,1 --mirror",
        "segcaffe predict ssd_deploy.prototxt ssd.caffemodel photos/ --out found "
        "--label_map_file labelmap_voc.prototxt",
        "segcaffe predict fast_rcnn.prototxt fast_rcnn.caffemodel photos/ --out found --rois regions.json",
    ),
    "explore": (
        "segcaffe explore deploy.prototxt net.caffemodel photo.jpg --out masks.html",
        "segcaffe explore deploy.prototxt net.caffemodel photos/ --labels labels --out masks.html --megabytes 3",
        "segcaffe explore configs/embs/deploy.prototxt embs.caffemodel photo.jpg --out embeddings.html "
        "--embeddings weighted_avg --set HEIGHT=321 --set WIDTH=321",
    ),
    "refine": (
        "segcaffe refine scores.npy photo.jpg refined.npy",
        "segcaffe refine scores.npy photo.jpg labels.png --method dense-crf --theta_beta 10",
        "segcaffe refine softmax.npz depth.npy labels.png --key probs --probabilities --method local-crf --scale 20",
    ),
    "segawarify": (
        "segcaffe segawarify deploy.prototxt net.caffemodel --out masked",
        "segcaffe segawarify train_val.prototxt net.caffemodel --layers 'conv3*,conv4*' --lambda 0.05 --crf",
        "segcaffe segawarify deploy.prototxt net.caffemodel --embeddings embs_deploy.prototxt:weighted_avg "
        "--embedding_weights embs.caffemodel --norm l2",
        "segcaffe segawarify train_val.prototxt --embeddings :data --shape data=1,3,227,227",
    ),
    "export": (
        "segcaffe export deploy.prototxt net.caffemodel net.onnx",
        "segcaffe export deploy.prototxt net.caffemodel net.py",
        "segcaffe export train_val.prototxt net.caffemodel net.py --train --shape data=64,3,227,227 --shape label=64",
        "segcaffe export train_val.prototxt net.caffemodel net.onnx --shape data=1,3,224,224 --batch dynamic",
        "segcaffe export deploy.prototxt net.caffemodel net.onnx --mean 104,117,123 --bgr-from-rgb --until fc7",
    ),
    "verify": (
        "segcaffe verify deploy.prototxt net.caffemodel net.onnx",
        "segcaffe verify deploy.prototxt net.caffemodel net.onnx --runtime opencv --runtime openvino",
        "segcaffe verify deploy.prototxt net.caffemodel net.onnx --json > proof.json",
    ),
    "weights": (
        "segcaffe weights show net.caffemodel",
        "segcaffe weights convert net.caffemodel net.safetensors",
        "segcaffe help weights rename",
    ),
    "weights show": (
        "segcaffe weights show net.caffemodel",
        "segcaffe weights show net.npz --json > blobs.json",
    ),
    "weights convert": (
        "segcaffe weights convert net.caffemodel net.safetensors",
        "segcaffe weights convert deeplab.caffemodel net.caffemodel --dialect deeplab --to bvlc",
    ),
    "weights diff": ("segcaffe weights diff before.caffemodel after.caffemodel --tolerance 1e-6",),
    "weights rename": (
        "segcaffe weights rename net.caffemodel new.caffemodel fc8=fc8_voc",
        "segcaffe weights rename net.caffemodel new.caffemodel 'conv*=stem_conv*'",
    ),
    "weights import": (
        "segcaffe weights import deploy.prototxt model.safetensors net.caffemodel",
        "segcaffe weights import deploy.prototxt checkpoint.pth net.caffemodel --map layers.txt",
        "segcaffe weights import deploy.prototxt model.onnx net.caffemodel --rename 'features.*=conv*'",
    ),
    "weights fold-bn": (
        "segcaffe weights fold-bn configs/segnet/train_test.prototxt model/segnet_iter_600.caffemodel "
        "segnet.caffemodel --set SCENES=camvid",
    ),
    "weights merge": ("segcaffe weights merge vgg16.caffemodel 'embs.caffemodel::embs_*' --out both.caffemodel",),
    "lint": (
        f"segcaffe lint configs/tiny/plain_solver.prototxt {SCENES} --set OUT=model",
        "segcaffe lint deploy.prototxt --weights net.caffemodel --train train_val.prototxt",
    ),
    "upgrade": (
        "segcaffe upgrade net old.prototxt new.prototxt",
        "segcaffe upgrade net old.caffemodel new.caffemodel",
        "segcaffe upgrade solver old_solver.prototxt solver.prototxt",
    ),
    "eval": (
        "segcaffe eval --detection found scenes/test.txt --root scenes/",
        "segcaffe eval --detection detections.json instances_val2017.json --json scores.json",
        "segcaffe eval predicted scenes/test.txt --root scenes/",
        "segcaffe eval predicted SegmentationClass --classes 21 --names names.txt --json scores.json --plots plots",
    ),
    "features": (
        "segcaffe features net.caffemodel train_val.prototxt fc7,prob features.npz --iterations 10",
        "segcaffe features net.caffemodel train_val.prototxt fc7 databases --iterations 10 --overwrite",
    ),
    "plot": (
        "segcaffe plot model/plain_train.log --out training.png",
        "segcaffe plot first.log second.log --out both.svg --csv both.csv",
    ),
    "warm-up": (
        "segcaffe warm-up configs/tiny/plain_deploy.prototxt",
        "segcaffe warm-up deploy.prototxt --jobs 4 --set HEIGHT=321 --set WIDTH=321",
    ),
    "configs": ("segcaffe configs", "segcaffe configs somewhere/else --overwrite"),
    "completion": (
        "source <(segcaffe completion bash)",
        "segcaffe completion zsh > ~/.zfunc/_segcaffe",
        "segcaffe completion fish > ~/.config/fish/completions/segcaffe.fish",
    ),
    "device-query": ("segcaffe device-query", "segcaffe device_query -gpu 0"),
    "demo": ("segcaffe demo --out demo_output", "segcaffe demo --max_iter 30 --seed 2"),
    "reproduce": (
        "segcaffe reproduce --out reproduction",
        "segcaffe reproduce --data CamVid --ignore 11 --seeds 5 --out camvid --ablations",
    ),
    "help": ("segcaffe help train", "segcaffe help data make-db"),
}
"""Lines to type for each command; the empty name stands for the program."""
