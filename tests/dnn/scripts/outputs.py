# Net: classifier
import cv2
import numpy as np

net = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
image = np.random.RandomState(6).randint(0, 256, (8, 8, 3)).astype(np.uint8)
net.setInput(cv2.dnn.blobFromImage(image, 1 / 128, (8, 8), (127.5, 127.5, 127.5)), "data")
names = net.getLayerNames()
wanted = [names[i - 1] for i in net.getUnconnectedOutLayers()]
outputs = net.forward(wanted)
try:
    net.forward("no such layer")
except cv2.error as error:
    print(error)
result = np.concatenate([output.ravel() for output in outputs])
